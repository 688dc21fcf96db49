#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# /script of the disk benchmark's initramfs: runs fio as it is told on the console, on /dev/vda.
mount -t tmpfs tmpfs /tmp
mkdir -p /fio
mount -t ext4 -o ro,noload /dev/vdb /fio || exit 1
stty -echo </dev/console
echo 0 >/proc/sys/kernel/printk
# the processor's first look at all of it, before anything is timed
/fio/ld.so --library-path /fio/lib /fio/fio --version
for w in begin end; do
	printf '#!/bin/sh\necho @%s >/dev/console\n' $w >/tmp/$w
	chmod +x /tmp/$w
done
echo @serving
while read -r what rw bs depth seconds jobs; do
	[ "$what" = go ] || break
	rm -f /tmp/out
	cd /tmp
	/fio/ld.so --library-path /fio/lib /fio/fio --name=j --filename=/dev/vda --direct=1 --ioengine=io_uring \
		--rw="$rw" --bs="$bs" --iodepth="$depth" --numjobs="$jobs" --group_reporting --thread --time_based \
		--runtime="$seconds" --norandommap --randrepeat=1 --exec_prerun=/tmp/begin \
		--exec_postrun=/tmp/end --output-format=terse --terse-version=3 >/tmp/out 2>/tmp/err ||
		echo "@fail $(head -c 200 /tmp/err)"
	echo "@done $(grep '^3;' /tmp/out | cut -d';' -f 7,8,16,48,49,57)"
done </dev/console
