#!/bin/sh
# SPDX-License-Identifier: MIT
# The first process of a machine that run-qemu boots, as busybox has it: runs the programs that
# /programs names, writes what they print, and how each ended, to the second serial port, and
# turns the machine off. What the kernel has to say goes to the first one.
limit=300 # seconds for a program: what takes longer hangs
# Tests run this one by another name, by which busybox would not know it.
echo '#!/bin/sh' >/bin/true
/bin/busybox chmod +x /bin/true
/bin/busybox --install -s /bin
mkdir -p /dev /proc /sys /tmp
mount -t devtmpfs dev /dev
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t tmpfs tmp /tmp
mount -t cgroup2 cgroup /sys/fs/cgroup
echo +cpu >/sys/fs/cgroup/cgroup.subtree_control
exec </dev/null >/dev/ttyS1 2>&1
stty raw <&1
export LD_LIBRARY_PATH=/lib CK_TIMEOUT_MULTIPLIER=20

seconds()
{
	cut -d. -f1 /proc/uptime
}

echo "== kernel $(uname -sr)"
while read -r program; do
	echo "== begin $program"
	began=$(seconds)
	# Not to the port at once: that is slow, and a test's time should be its own.
	timeout -s KILL $limit "/$program" >/tmp/log 2>&1
	ended=$?
	cat /tmp/log
	echo "== end $program $ended $(($(seconds) - began))"
done </programs
echo "== off"
poweroff -f
