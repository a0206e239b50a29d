# shellcheck shell=bash
# Making 60 partitions ahead of time, in a new backend and on a fresh copy of the same database
# each time. Per partition, since pg_partman counts months as 30 days and may make one more.

CREATE_DBPERF="UPDATE dbperf.policy SET premake = 64"
CREATE_PARTMAN="UPDATE partman.part_config SET premake = 64"

# The two statements that both tools run for each partition, and nothing else.
CREATE_BARE="DO \$\$ BEGIN FOR i IN 5..64 LOOP
EXECUTE format('CREATE TABLE big_%s (LIKE big INCLUDING ALL EXCLUDING IDENTITY)', i);
EXECUTE format('ALTER TABLE big ATTACH PARTITION big_%s FOR VALUES FROM (%L) TO (%L)',
i, date_trunc('day', now()) + i * interval '1 day', date_trunc('day', now()) + (i + 1) * interval '1 day');
END LOOP; END \$\$"

create_once()
{
	local before after ms count="SELECT count(*) FROM pg_inherits WHERE inhparent = 'big'::regclass"
	copy_database "$2" work
	[ -z "$3" ] || query work "$3"
	before=$(query work "$count")
	ms=$(times work "$4" 1)
	after=$(query work "$count")
	[ "$((after - before))" -ge 60 ] || die "$1 made $((after - before)) partitions, not 60"
	record "$1" "$(awk -v ms="$ms" -v n="$((after - before))" 'BEGIN {print ms / n}')"
	drop_database work
}

create()
{
	local tool round size past
	for tool in dbperf partman; do
		for size in 500 small; do
			past=0
			[ "$size" = small ] || past=495
			new_database "create_${size}_$tool"
			query "create_${size}_$tool" "CALL make_managed('big', '$tool', 'day', $past)"
			query "create_${size}_$tool" "VACUUM ANALYZE"
		done
	done
	for ((round = 0; round < ROUNDS; round++)); do
		for size in 500 small; do
			create_once "create_$size.ours" "create_${size}_dbperf" "$CREATE_DBPERF" "SELECT count(*) FROM dbperf.run_maintenance()"
			create_once "create_$size.theirs" "create_${size}_partman" "$CREATE_PARTMAN" "$IDLE_THEIRS"
			create_once "create_$size.call" "create_${size}_dbperf" "$CREATE_DBPERF" "$IDLE_CALL"
			create_once "create_$size.bare" "create_${size}_dbperf" "" "$CREATE_BARE"
		done
	done

	heading "60 partitions ahead, each" dbperf pg_partman
	for size in 500 small; do
		local title="parent of 500"
		[ "$size" = 500 ] || title="small parent"
		row "$title: run_maintenance(), one transaction" "create_$size.ours" "create_$size.theirs" 2
		row "$title: CALL maintain(), a transaction each" "create_$size.call" "create_$size.theirs" 2
		row "$title: bare CREATE TABLE and ATTACH, the floor" "create_$size.bare" "create_$size.theirs" ""
	done
}
