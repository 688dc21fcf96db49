#!/bin/busybox sh
# SPDX-License-Identifier: Apache-2.0
# In the outer machine: runs a monitor and passes on what its guest says of jobs, with the time, KVM's counters and, by
# the names of @@begin and @@end, for kvm_outer.py to note the processor time.
#	inner.sh LABEL COMMAND...
label=$1 n=-1
shift
mount -t debugfs debugfs /sys/kernel/debug 2>/dev/null

count() {
	set --
	for f in exits mmio_exits io_exits halt_exits irq_injections; do
		read -r x </sys/kernel/debug/kvm/$f
		set -- "$@" "$x"
	done
	echo "@$label.$n @count $*"
}

"$@" </dev/null 2>&1 | while read -r line; do
	case $line in
	@job*) n=$((n + 1)) ;;
	@begin* | @end*)
		count
		read -r up _ </proc/uptime
		case $line in
		@begin*) echo "@@begin $label.$n $up" ;;
		*) echo "@@end $label.$n 0 $up" ;;
		esac
		;;
	@done* | @fail* | @serving*) echo "@$label.$n $line" ;;
	*) last=$line && echo "$line" >>/tmp/said.$label ;;
	esac
done
tail -n 3 /tmp/said.$label
