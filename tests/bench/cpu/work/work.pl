# SPDX-License-Identifier: Apache-2.0
# The item "perl": hashes, regular expressions, sorting, string building, over the text of argument 1.
use strict;
use warnings;

open(my $in, '<', $ARGV[0]) or die "$ARGV[0]: $!";
my (%count, %pairs, $last, $out);
$last = $out = '';
while (my $line = <$in>) {
	last if $. > 5000;
	chomp $line;
	while ($line =~ /([a-z]+)/g) {
		$count{$1}++;
		$pairs{"$last $1"}++ if length($1) > 3;
		$last = $1;
	}
	(my $swapped = $line) =~ s/\b(\w)(\w*)\b/$2$1ay/g;
	$out .= uc(substr($swapped, 0, 20)) . join('|', reverse split(/, /, $line)) if $. % 3 == 0;
}
my @top = (sort { $count{$b} <=> $count{$a} || $a cmp $b } keys %count)[0 .. 30];
print join(' ', map { "$_=$count{$_}" } @top), "\n", scalar(keys %pairs), ' ', length($out), ' ', unpack('%32C*', $out), "\n";
my ($seed, @a) = (7);
push @a, $seed = ($seed * 69069 + 1) % 4294967296 for 1 .. 20000;
my $sum = 0;
$sum = ($sum * 31 + $_) % 1000003 for sort { $a <=> $b } @a;
printf "%d %.10f\n", $sum, sqrt($sum);
