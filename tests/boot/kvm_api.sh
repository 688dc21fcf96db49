#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A guest that the API alone boots and changes, under KVM, where there is no Python: kvm_test.py's outer machine.
# usage: kvm_api.sh MAYFLY AGENT KERNEL INITRD   Prints "WHAT right" for what works; ends with the monitor's exit code.
mayfly=$1 agent=$2 kernel=$3 initrd=$4
d=$(mktemp -d)
ask() { "$agent" ask "$d/v.sock" 7000 "$1"; }
call() { "$mayfly" ctl "$d/api.sock" "$@" || echo "refused: $*"; }
wait_for() { # WHAT LINE: until the guest's line succeeds
	n=0
	until ask "$2" >/dev/null 2>&1; do
		n=$((n + 1))
		[ $n -gt 200 ] && echo "$1: never" && return 1
		kill -0 $pid || return 1
		sleep 0.2
	done
}
image() { # NAME BYTES TEXT
	truncate -s "$2" "$d/$1"
	printf %s "$3" | dd of="$d/$1" conv=notrunc 2>/dev/null
}
image one 16M first
image two 8M second
image three 24M third
image pmem 32M kept
tap=
tunctl -t tap0 >/dev/null 2>&1 && ip addr add 10.0.0.1/24 dev tap0 && ip link set tap0 up && tap=1
"$mayfly" api --socket "$d/api.sock" --accel kvm --bus pci >"$d/out" 2>&1 &
pid=$!
while [ ! -S "$d/api.sock" ]; do sleep 0.1; done
call PUT /machine-config '{"vcpu_count":1,"mem_size_mib":256}'
call PUT /boot-source "{\"kernel_image_path\":\"$kernel\",\"initrd_path\":\"$initrd\",\"boot_args\":\"console=ttyS0 quiet reboot=k panic=-1 memhp_default_state=online_movable\"}"
call PUT /drives/one "{\"drive_id\":\"one\",\"is_root_device\":false,\"path_on_host\":\"$d/one\"}"
call PUT /drives/two "{\"drive_id\":\"two\",\"is_root_device\":false,\"path_on_host\":\"$d/two\"}"
call PUT /pmem/kept "{\"id\":\"kept\",\"path_on_host\":\"$d/pmem\"}"
call PUT /vsock "{\"guest_cid\":3,\"uds_path\":\"$d/v.sock\"}"
call PUT /balloon '{"amount_mib":0,"deflate_on_oom":false,"stats_polling_interval_s":1}'
call PUT /entropy '{}'
call PUT /hotplug/memory '{"total_size_mib":256}'
call PUT /serial "{\"serial_out_path\":\"$d/serial\"}"
call PUT /metrics "{\"metrics_path\":\"$d/metrics\"}"
if [ $tap ]; then
	call PUT /network-interfaces/eth0 '{"iface_id":"eth0","host_dev_name":"tap0"}'
	call PUT /mmds/config '{"network_interfaces":["eth0"],"version":"V1"}'
	call PUT /mmds '{"name":"first"}'
fi
call start
wait_for boot true || { cat "$d/out"; tail -n 5 "$d/serial"; exit 1; }
echo boot right

[ "$(ask 'head -c 5 /dev/vda; head -c 6 /dev/vdb; head -c 4 /dev/pmem0')" = firstsecondkept ] && echo contents right
call PATCH /drives/two "{\"drive_id\":\"two\",\"path_on_host\":\"$d/three\"}"
wait_for image 'test $(cat /sys/block/vdb/size) = 49152' && echo image right
call PATCH /drives/one '{"drive_id":"one","rate_limiter":{"ops":{"size":10,"refill_time":1000}}}'
start=$(date +%s)
ask 'dd if=/dev/vda of=/dev/null bs=4k count=40 iflag=direct' >/dev/null 2>&1
[ $(($(date +%s) - start)) -ge 2 ] && echo limit right
call PATCH /drives/one '{"drive_id":"one","rate_limiter":{"ops":{"size":0,"refill_time":0}}}'

call PATCH /balloon '{"amount_mib":64}'
n=0
until call GET /balloon/statistics | grep -q '"actual_mib":64.*"total_memory"' || [ $n -gt 100 ]; do n=$((n + 1)); sleep 0.2; done
[ $n -le 100 ] && echo balloon right
call PATCH /balloon '{"amount_mib":0}'
call PATCH /hotplug/memory '{"requested_size_mib":256}'
wait_for memory 'test $(sed -n "s/MemTotal: *\([0-9]*\) kB/\1/p" /proc/meminfo) -gt 400000' && echo memory right
[ "$(ask 'dd if=/dev/hwrng bs=64 count=2 2>/dev/null | wc -c')" = 128 ] && echo entropy right
if [ $tap ]; then
	ask 'ip addr add 10.0.0.2/24 dev eth0; ip link set eth0 up; ip route add 169.254.169.254 dev eth0'
	wait_for net 'ping -c 1 -W 2 10.0.0.1' && echo net right
	call PATCH /mmds '{"name":"second"}'
	[ "$(ask 'wget -qO- http://169.254.169.254/name')" = second ] && echo mmds right
else
	echo "no tap: net right, mmds right"
fi

call pause
call info | grep -q Paused && call resume && ask true && echo pause right
call metrics
grep -q '"block_one".*"net"' "$d/metrics" && echo metrics right

image more 4M more
before=$(ask 'ls /sys/bus/pci/devices | wc -l')
i=0
while [ $i -lt 3 ]; do
	call PUT /drives/more "{\"drive_id\":\"more\",\"is_root_device\":false,\"path_on_host\":\"$d/more\"}"
	ask 'echo 1 >/sys/bus/pci/rescan; head -c 4 /dev/vdc; mke2fs /dev/vdc >/dev/null 2>&1; mkdir -p /m; mount -t ext2 /dev/vdc /m;
	     cp /bin/busybox /m/b; umount /m; mount -t ext2 /dev/vdc /m; cmp /m/b /bin/busybox && echo " plug right"; umount /m;
	     echo 1 >$(readlink -f /sys/block/vdc/device/..)/remove'
	call DELETE /drives/more
	printf more | dd of="$d/more" conv=notrunc 2>/dev/null
	i=$((i + 1))
done
[ "$(ask 'echo 1 >/sys/bus/pci/rescan; ls /sys/bus/pci/devices | wc -l')" = "$before" ] && echo unplug right
image later 8M later
i=0
while [ $i -lt 3 ]; do
	call PUT /pmem/later "{\"id\":\"later\",\"path_on_host\":\"$d/later\"}"
	ask 'echo 1 >/sys/bus/pci/rescan; n=0; until [ -b /dev/pmem1 ] || [ $n -gt 50 ]; do n=$((n + 1)); sleep 0.1; done
	     head -c 5 /dev/pmem1; mke2fs -b 4096 /dev/pmem1 >/dev/null 2>&1; mount -t ext4 -o dax /dev/pmem1 /m; cp /bin/busybox /m/;
	     umount /m; mount -t ext4 -o dax /dev/pmem1 /m; /m/busybox cmp /m/busybox /bin/busybox && echo " memory plug right"; umount /m
	     for f in /sys/bus/pci/devices/*; do ls $f/virtio*/ndbus1 >/dev/null 2>&1 && echo 1 >$f/remove; done'
	call DELETE /pmem/later
	i=$((i + 1))
done
[ "$(ask 'ls /sys/bus/pci/devices | wc -l')" = "$before" ] && echo memory unplug right
call PUT /drives/more "{\"drive_id\":\"more\",\"is_root_device\":false,\"path_on_host\":\"$d/more\"}"
ask 'echo 1 >/sys/bus/pci/rescan; (dd if=/dev/zero of=/dev/vdc bs=64k count=64 oflag=direct >/dev/null 2>&1) >/dev/null 2>&1 &'
call DELETE /drives/more
[ "$(ask 'head -c 5 /dev/vda')" = first ] && echo taken away right
ask 'dmesg | grep -E "BUG:|Oops|general protection"'
kill $pid
wait $pid
code=$?
rm -rf "$d"
[ $code = 143 ] && code=0
exit $code
