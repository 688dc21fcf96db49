#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# /script of the benchmark's initramfs: starts the benchmark program, in the Debian root if there is a disk.
mount -t tmpfs tmpfs /tmp
cd /tmp || exit 1
case " $(cat /proc/cmdline) " in
*" bench.root "*)
	for n in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
		[ -b /dev/vda ] && break
		usleep 100000
	done
	mkdir /root.fs
	mount -t ext4 -o ro,noload /dev/vda /root.fs || exit 1
	mount -t proc proc /root.fs/proc
	mount --bind /dev /root.fs/dev
	mount -t tmpfs tmpfs /root.fs/tmp
	cp -r /bench /root.fs/tmp/
	chroot /root.fs /tmp/bench/bench serve
	;;
*)
	cp -r /bench /tmp/
	/tmp/bench/bench serve
	;;
esac
