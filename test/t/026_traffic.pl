# Partitions are made under load: no insert fails, none is lost, and none waits for maintenance
# longer than the lock budget; maintenance never stands in a queue of locks itself, gives up in
# time, says who was in its way, and recovers.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use DbperfTest;
use DbperfSessions;
use IPC::Run ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $budget_ms = 200;
my $seconds = 12;

my $node = new_node('traffic', 'dbperf.enabled = off', 'log_statement = none');
$node->safe_psql('postgres', 'CREATE DATABASE app');
install_extension($node, 'app');
$node->safe_psql('app', q{
	SELECT dbperf.create_market_schema();
	INSERT INTO instruments (symbol) SELECT 'S' || i FROM generate_series(1, 50) i;
	INSERT INTO alert_rules (instrument_id, name) SELECT i, 'r' FROM generate_series(1, 50) i;
	-- days, not months
	DO $$
	DECLARE
		p regclass;
	BEGIN
		FOR p IN SELECT partition FROM dbperf.partitions LOOP
			EXECUTE format('DROP TABLE %s', p);
		END LOOP;
	END $$;
	SELECT dbperf.alter_policy('market_data', '1 day', premake => 30);
	SELECT dbperf.alter_policy('alert_logs', '1 day', premake => 30);
	CALL dbperf.maintain();
	CREATE TABLE samples (kind text, ms float8, what text)});
is($node->safe_psql('app', 'SELECT DISTINCT lock_budget FROM dbperf.policy'), '00:00:00.2', 'the lock budget is the default');

# --- the load: single rows into both tables, from 4 clients
my $script = PostgreSQL::Test::Utils::tempdir() . '/insert.sql';
append_to_file($script, q{\set i random(1, 50)
\set h random(0, 700)
INSERT INTO market_data ("timestamp", instrument_id, price, volume) VALUES (now() + :h * interval '1 hour', :i, :h, 1);
INSERT INTO alert_logs ("timestamp", rule_id, instrument_id) VALUES (now() + :h * interval '1 hour', :i, :i);
});
my ($load_out, $load_err) = ('', '');
my $load = IPC::Run::start([ 'pgbench', '-n', '-c', 4, '-j', 2, '-T', $seconds, '-f', $script,
		$node->connstr('app') . " application_name='pgbench'" ],
	'<', \undef, '>', \$load_out, '2>', \$load_err, IPC::Run::timeout(3 * $PostgreSQL::Test::Utils::timeout_default));
ok($node->poll_query_until('app', "SELECT count(*) = 4 FROM pg_stat_activity WHERE application_name = 'pgbench'"),
	'4 clients are at work');

# Ends with the load. Its pauses are what is measured with, not what is waited for.
my $while_load = q{
	DO $$
	BEGIN
		WHILE EXISTS (SELECT FROM pg_stat_activity WHERE application_name = 'pgbench') LOOP
			%s
			COMMIT;
		END LOOP;
	END $$};
my $sampler = start_sql($node, 'app', sprintf($while_load, q{
	INSERT INTO samples
		SELECT 'waits', 1000 * extract(epoch FROM clock_timestamp() - l.waitstart), a.application_name
		FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
		WHERE NOT l.granted AND l.waitstart IS NOT NULL AND a.application_name IN ('pgbench', 'writer')
		AND EXISTS (SELECT FROM unnest(pg_blocking_pids(l.pid)) b JOIN pg_stat_activity m ON m.pid = b
			WHERE m.application_name = 'maintenance')
		UNION ALL
		SELECT 'queued', 0, l.relation::regclass::text || ' ' || l.mode
		FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
		WHERE NOT l.granted AND l.locktype = 'relation' AND a.application_name = 'maintenance'
		UNION ALL
		SELECT 'sample', 0, NULL;
	PERFORM pg_sleep(0.002);}), app => 'sampler');
# Those who change the referenced tables, and now and then keep a lock on them for longer than the budget.
my $writer = start_sql($node, 'app', sprintf($while_load, q{
	UPDATE instruments SET updated_at = now() WHERE id = (random() * 49)::int + 1;
	PERFORM pg_sleep(CASE WHEN random() < 0.05 THEN 0.4 ELSE random() * 0.02 END);
	COMMIT;
	PERFORM pg_sleep(random() * 0.02);}), app => 'writer');
my $maintenance = start_sql($node, 'app', sprintf($while_load, q{
	UPDATE dbperf.policy SET premake = premake + 1;
	COMMIT;
	CALL dbperf.maintain();}), app => 'maintenance');

$load->finish;
is($load->result(0) // 255, 0, 'the load ended well') or diag $load_err;
for my $session ($sampler, $writer, $maintenance)
{
	my ($status, undef, $err) = finish_sql($session);
	is($status, 0, 'a session beside it ended well') or diag $err;
}

# --- what the traffic felt
my ($transactions) = $load_out =~ /transactions actually processed: (\d+)/;
cmp_ok($transactions, '>', 100, 'there was traffic');
unlike($load_out . $load_err, qr/failed transactions: [1-9]|ERROR|aborted/, 'no insert failed');
is($node->safe_psql('app', 'SELECT count(*), (SELECT count(*) FROM alert_logs) FROM market_data'),
	"$transactions|$transactions", 'every row is there');
is($node->safe_psql('app', "SELECT count(*) FROM samples WHERE what = 'pgbench'"), 0,
	'no insert was ever seen waiting for maintenance');
cmp_ok($node->safe_psql('app', "SELECT coalesce(max(ms), 0) FROM samples WHERE kind = 'waits'"), '<', $budget_ms,
	'nor anybody else longer than the lock budget');
is($node->safe_psql('app', "SELECT string_agg(DISTINCT what, ', ') FROM samples WHERE kind = 'queued'"), '',
	'maintenance never stood in a queue of locks');
cmp_ok($node->safe_psql('app', "SELECT count(*) FROM samples WHERE kind = 'sample'"), '>', 100, 'it was looked often enough');
my $made = $node->safe_psql('app', "SELECT sum(partitions_created) FROM dbperf.job_runs WHERE reason = 'request'");
cmp_ok($made, '>', 70, 'partitions were made in the meantime');
cmp_ok($node->safe_psql('app', 'SELECT max(tries) FROM dbperf.partition_events'), '<=', 4, 'with few tries each');
cmp_ok($node->safe_psql('app', 'SELECT count(*) FROM dbperf.partition_events WHERE ms_waited > 1'), '>', 0,
	'at times it had to wait itself');
is($node->safe_psql('app', 'SELECT count(*) FROM dbperf.job_runs WHERE status NOT IN (\'ok\', \'partial\', \'failed\')'), 0,
	'every run came to an end');
is(audit_is_ok($node, 'app'), 'ok', 'the audit trail is whole');
$node->safe_psql('app', 'CALL dbperf.maintain()');
is($node->safe_psql('app', 'SELECT count(*) FROM dbperf.partition_health WHERE missing > 0 OR last_error IS NOT NULL'), 0,
	'with nobody in the way, all is made');
note "$transactions transactions, $made partitions, longest wait "
  . $node->safe_psql('app', "SELECT round(max(ms)::numeric, 1) FROM samples WHERE kind = 'waits'");

# --- somebody stays in the way
my %obstacles = (
	'an open write to a referenced table' => "UPDATE instruments SET name = 'x' WHERE id = 7",
	'other maintenance of the parent' => 'LOCK TABLE market_data IN SHARE UPDATE EXCLUSIVE MODE');
for my $obstacle (sort keys %obstacles)
{
	my $failures = $node->safe_psql('app', "SELECT count(*) FROM dbperf.partition_events WHERE action = 'create_failed'");
	my $holder = hold($node, 'app', $obstacles{$obstacle});

	$node->safe_psql('app', "UPDATE dbperf.policy SET premake = premake + 2, enabled = (parent = 'market_data'::regclass)");
	my $call = start_sql($node, 'app', '\set VERBOSITY verbose' . "\nCALL dbperf.maintain()", app => 'maintenance');
	# meanwhile, traffic that does not need what is locked
	my $inserts = 0;
	while (1)
	{
		my ($status) = $node->psql('app', q{
			SET lock_timeout = '50 ms';
			INSERT INTO market_data ("timestamp", instrument_id) VALUES (now(), 3)});
		last if $status != 0;
		$inserts++;
		last if $node->safe_psql('app', "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'maintenance'") == 0;
	}
	cmp_ok($inserts, '>', 2, "$obstacle: inserts go on while maintenance tries");
	my ($status, undef, $err) = finish_sql($call);
	is($status, 0, "$obstacle: maintenance goes on to other tables") or diag $err;
	like($err, qr/WARNING:  55P03: maintenance of table "public.market_data" failed: could not lock table/,
		"$obstacle: it says lock_not_available");
	like($err, qr/DETAIL:  .*\bprocess $holder->{pid}\b/, "$obstacle: and who was in the way");
	is($node->safe_psql('app', qq{
			SELECT status, failures, tries, ms_waited BETWEEN 3 * $budget_ms AND 4 * $budget_ms + 1500, error ~ 'could not lock'
			FROM dbperf.job_runs ORDER BY run_id DESC LIMIT 1}),
		'failed|1|4|t|t', "$obstacle: it gave up within its budget");
	is($node->safe_psql('app', q{
			SELECT status, last_error ~ 'could not lock table', failures, next_try_at > last_error_at, missing
			FROM dbperf.partition_health WHERE parent = 'market_data'::regclass}),
		'warning|t|1|t|2', "$obstacle: partition_health shows it");
	$node->psql('app', 'CALL dbperf.maintain()');
	is($node->safe_psql('app', "SELECT count(*) - $failures FROM dbperf.partition_events WHERE action = 'create_failed'"), 1,
		"$obstacle: the audit trail tells it once");
	release($holder);
	$node->safe_psql('app', 'CALL dbperf.maintain()');
	is($node->safe_psql('app', q{
			SELECT status, last_error IS NULL, failures, missing
			FROM dbperf.partition_health WHERE parent = 'market_data'::regclass}),
		'ok|t|0|0', "$obstacle: and it recovers");
}
is(audit_is_ok($node, 'app'), 'ok', 'the audit trail is whole at the end');

$node->stop;
done_testing();
