#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# /script of the I/O benchmark's initramfs: does what the console, or io.plan= of the kernel's command line,
# tells it, a job at a time; run and outer.py read the lines that begin with @.
mount -t tmpfs tmpfs /tmp
mkdir -p /tools /share
tools=vdb plan=
for word in $(cat /proc/cmdline); do
	case $word in
	io.tools=*) tools=${word#io.tools=} ;;
	io.ip=*)
		word=${word#io.ip=}
		ip link set lo up
		ip link set "${word%%/*}" up
		ip addr add "${word#*/}" dev "${word%%/*}"
		;;
	io.share=*) mount -t virtiofs "${word#io.share=}" /share || exit 1 ;;
	io.plan=*) plan=${word#io.plan=} ;;
	esac
done
mount -t ext4 -o ro,noload "/dev/$tools" /tools || exit 1
stty -echo </dev/console
echo 0 >/proc/sys/kernel/printk
for w in begin end; do
	printf '#!/bin/sh\necho @%s >/dev/console\n' $w >/tmp/$w
	chmod +x /tmp/$w
done
export GIT_OPTIONAL_LOCKS=0 HOME=/tmp

tool() {
	prog=$1
	shift
	/tools/ld.so --library-path /tools/lib "/tools/$prog" "$@"
}

# rw bs depth seconds jobs: @done with read KiB/s, IOPS, us; the same of writing
disk() {
	rm -f /tmp/out
	cd /tmp || exit 1
	tool fio --name=j --filename=/dev/vda --direct=1 --ioengine=io_uring --rw="$1" --bs="$2" --iodepth="$3" \
		--numjobs="$5" --group_reporting --thread --time_based --runtime="$4" --norandommap --randrepeat=1 \
		--exec_prerun=/tmp/begin --exec_postrun=/tmp/end --output-format=terse --terse-version=3 >/tmp/out 2>/tmp/err ||
		echo "@fail $(head -c 200 /tmp/err)"
	echo "@done $(grep '^3;' /tmp/out | cut -d';' -f 7,8,16,48,49,57)"
}

# address port seconds [-R]: @begin and @end surround a window of `seconds` in the middle; @done with Mbit/s
stream() {
	tool iperf3 -c "$1" -p "$2" -t $(($3 + 2)) -i 0 -f m $4 >/tmp/out 2>&1 &
	sleep 1
	echo @begin
	sleep "$3"
	echo @end
	wait
	rate=$(sed -n 's/.* \([0-9.]*\) Mbits\/sec.*receiver.*/\1/p' /tmp/out)
	if [ -n "$rate" ]; then echo "@done $rate"; else echo "@fail $(tail -n 1 /tmp/out)"; fi
}

# what: git status of the whole tree, from nothing, or when the guest knows it but may not trust that any more
share() {
	case $1 in
	status-cold) echo 3 >/proc/sys/vm/drop_caches ;;
	status-again) sleep 2 ;;
	read) echo 3 >/proc/sys/vm/drop_caches ;;
	esac
	cd / || exit 1
	echo @begin
	case $1 in
	status-*) (cd /share/tree && tool git -c safe.directory='*' status --porcelain | wc -l >/tmp/out) ;;
	read) dd if=/share/stream of=/dev/null bs=1M 2>/tmp/err | wc -l >/tmp/out ;;
	write) dd if=/dev/zero of=/share/new bs=1M count="$2" conv=fsync 2>/tmp/err | wc -l >/tmp/out ;;
	esac
	echo @end
	[ "$1" = write ] && rm -f /share/new
	echo "@done $(cat /tmp/out)"
}

do_job() {
	echo "@job $*"
	case $1 in
	disk) shift && disk "$@" ;;
	stream) shift && stream "$@" ;;
	rr) shift && /bench/rr client "$@" ;;
	share) shift && share "$@" ;;
	*) return 1 ;;
	esac
}

# the processor's first look at the programs, before anything is timed
tool fio --version >/dev/null
tool iperf3 --version >/dev/null
echo @serving
if [ -n "$plan" ]; then
	echo "$plan" | tr ',:' '\n ' >/tmp/plan
	while read -r job <&3; do do_job $job; done 3</tmp/plan
	exit 0
fi
while read -r job <&3; do
	do_job $job || break
done 3</dev/console
