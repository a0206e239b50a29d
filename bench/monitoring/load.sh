# shellcheck shell=bash
# Statements with and without the library. Besides the transactions of a turn, which whatever else the
# machine does has a say in, the processor time that the backends took for each is compared, as the
# postmaster is told of it when they end.

# backend_ticks NAME: of all processes of the server that have ended; waits for those of clients, which
# may take a moment after their clients have, and for the postmaster to notice
backend_ticks()
{
	local postmaster
	postmaster=$(head -n 1 "$WORK/$1/data/postmaster.pid")
	# shellcheck disable=SC2009 # a process that is ending is shown as [postgres]
	while ps -o stat=,args= --ppid "$postmaster" | grep -E '\[postgres\]|postgres bench \[local\]' >/dev/null; do sleep 0.01; done
	awk '{print $16 + $17}' "/proc/$postmaster/stat"
}

# turn NAME WORKLOAD ROUND: adds a line to $WORK/turns: workload, round, server, transactions a second,
# and microseconds of processor time for each
turn()
{
	local name=$1 workload=$2 round=$3 ticks script=tpcb-like tps transactions
	[ "$workload" = tpcb ] || script=select-only
	cluster_start "$WORK/$name"
	on "$name" "SELECT sum(pg_prewarm(oid)) FROM pg_class WHERE relname LIKE 'pgbench%' AND relkind IN ('r', 'i')" >/dev/null
	on "$name" "CHECKPOINT"
	bench "$name" -b "$script" -c "$CLIENTS" -j "$CLIENTS" -T 2 >/dev/null 2>&1
	ticks=$(backend_ticks "$name")
	bench "$name" -b "$script" -c "$CLIENTS" -j "$CLIENTS" -T "$DURATION" --random-seed="$round" >"$WORK/pgbench.out" 2>&1
	ticks=$(($(backend_ticks "$name") - ticks))
	tps=$(sed -n 's/^tps = \([0-9.]*\) (without.*/\1/p' "$WORK/pgbench.out")
	transactions=$(sed -n 's/^number of transactions actually processed: \([0-9]*\).*/\1/p' "$WORK/pgbench.out")
	echo "$workload $round $name $tps $((ticks * 1000000 / $(getconf CLK_TCK))) $transactions" |
		awk '{print $1, $2, $3, $4, $5 / $6}' >>"$WORK/turns"
	cluster_stop "$WORK/$name"
}

load()
{
	local round workload i servers=(without ours statements)
	make_server without ""
	make_server ours tradeassist_dbperf "${OURS[@]}"
	make_server statements pg_stat_statements "shared_preload_libraries = 'pg_stat_statements'"
	for ((round = 0; round < ROUNDS; round++)); do
		for workload in "${WORKLOADS[@]}"; do
			for ((i = 0; i < 3; i++)); do
				# each of the six orders
				if [ $((round / 3 % 2)) = 0 ]; then
					turn "${servers[(round + i) % 3]}" "$workload" "$round"
				else
					turn "${servers[(round + 3 - i) % 3]}" "$workload" "$round"
				fi
			done
		done
	done
	[ -z "${RAW:-}" ] || cat "$WORK/turns" >>"$RAW"
	say ""
	say "$ROUNDS rounds of $DURATION s, $CLIENTS clients; against the server without, by the rounds, with 95 % confidence"
	# the change is e to the mean of the rounds' logarithms; its range by Student's t
	awk '
	function median(a, n,    i, j, x) {
		for (i = 2; i <= n; i++) { x = a[i]; for (j = i - 1; j > 0 && a[j] > x; j--) a[j + 1] = a[j]; a[j + 1] = x }
		return (a[int((n + 1) / 2)] + a[int(n / 2) + 1]) / 2
	}
	function change(value, workload, server,    r, n, x, sum, squares, mean, half) {
		for (r = 0; r < rounds; r++) {
			x = log(value[workload, r, server] / value[workload, r, "without"])
			n++; sum += x; squares += x * x
		}
		mean = sum / n
		if (n < 2) return sprintf("%+6.2f %%", 100 * (exp(mean) - 1))
		half = sqrt((squares - n * mean * mean) / (n - 1) / n) * (n <= 20 ? t[n - 1] : 2.09)
		return sprintf("%+6.2f %% (%+.2f to %+.2f)", 100 * (exp(mean) - 1), 100 * (exp(mean - half) - 1), 100 * (exp(mean + half) - 1))
	}
	BEGIN {
		split("12.71 4.30 3.18 2.78 2.57 2.45 2.36 2.31 2.26 2.23 2.20 2.18 2.16 2.14 2.13 2.12 2.11 2.10 2.09", t, " ")
		split("without ours statements", servers, " ")
		title["without"] = "without"; title["ours"] = "tradeassist_dbperf"; title["statements"] = "pg_stat_statements"
	}
	{
		if (!($1 in seen)) { seen[$1]; workloads[++count] = $1 }
		if ($2 >= rounds) rounds = $2 + 1
		tps[$1, $2, $3] = $4; cpu[$1, $2, $3] = $5
	}
	END {
		printf "%-8s %-20s %10s  %-30s %10s  %s\n", "", "", "tps", "change", "CPU us/tx", "change"
		for (w = 1; w <= count; w++) for (s = 1; s <= 3; s++) {
			for (r = 0; r < rounds; r++) { a[r + 1] = tps[workloads[w], r, servers[s]]; b[r + 1] = cpu[workloads[w], r, servers[s]] }
			printf "%-8s %-20s %10.0f  %-30s %10.2f  %s\n", workloads[w], title[servers[s]], median(a, rounds),
				s == 1 ? "" : change(tps, workloads[w], servers[s]), median(b, rounds), s == 1 ? "" : change(cpu, workloads[w], servers[s])
		}
	}' "$WORK/turns"
}
