# SPDX-License-Identifier: Apache-2.0
# The item "shell": a loop of forks, programs, pipes and command substitutions.
i=0 sum=0
while [ $i -lt 12 ]; do
	/bin/true
	n=$(expr $i + 1)
	(exit 3) || sum=$((sum + $?))
	word=$(echo "line $n" | tr a-z A-Z)
	base=$(basename "/tmp/$word/x$n.txt" .txt)
	set -- $(seq $n 3 20)
	sum=$((sum + $# + ${#base}))
	i=$n
done
k=0
while [ $k -lt 4000 ]; do
	case $k in *7*) sum=$((sum + k)) ;; *) sum=$((sum ^ 1)) ;; esac
	k=$((k + 1))
done
echo "$i $sum $word"
