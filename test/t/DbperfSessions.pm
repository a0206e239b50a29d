# Sessions beside the one that a test talks to: statements that run in the background, transactions
# that hold locks, and gates at chosen moments of making a partition.

package DbperfSessions;

use strict;
use warnings;

use Exporter 'import';
use IPC::Run ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;

our @EXPORT = qw(
  start_sql finish_sql hold release make_gates close_step open_steps wait_at_step
  audit_is_ok execute_as
);

# Runs SQL in a session of its own and returns at once. Options: user, app (application_name).
sub start_sql
{
	my ($node, $db, $sql, %options) = @_;
	my $app = $options{app} // 'background';
	my $session = { out => '', err => '' };
	my $file = PostgreSQL::Test::Utils::tempdir() . '/session.sql';

	append_to_file($file, "$sql;\n");
	my @command = ('psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-f', $file,
		'-d', $node->connstr($db) . " application_name='$app'");

	push @command, '-U', $options{user} if defined $options{user};
	$session->{run} = IPC::Run::start(\@command, '<', \undef, '>', \$session->{out},
		'2>', \$session->{err}, IPC::Run::timeout(3 * $PostgreSQL::Test::Utils::timeout_default));
	return $session;
}

# A server that dies takes its sessions with it; writing to one of them is no reason to die, too.
$SIG{PIPE} = 'IGNORE';

# Waits for it to end: (exit status, standard output, standard error).
sub finish_sql
{
	my ($session) = @_;
	$session->{run}->finish;
	chomp $session->{out};
	return ($session->{run}->result(0) // 255, $session->{out}, $session->{err});
}

# Opens a transaction, runs SQL in it and keeps it open until release().
sub hold
{
	my ($node, $db, $sql, %options) = @_;
	my $session = { in => '', out => '', err => '' };
	my @command = ('psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-f', '-',
		'-d', $node->connstr($db) . " application_name='holder'");

	push @command, '-U', $options{user} if defined $options{user};
	$session->{timer} = IPC::Run::timer($PostgreSQL::Test::Utils::timeout_default);
	$session->{run} = IPC::Run::start(\@command, '<', \$session->{in}, '>', \$session->{out},
		'2>', \$session->{err}, $session->{timer});
	$session->{in} .= "BEGIN;\n$sql;\nSELECT 'held ' || pg_backend_pid();\n";
	until ($session->{out} =~ /held (\d+)\n/)
	{
		die "could not hold \"$sql\": $session->{err}" unless $session->{run}->pumpable;
		$session->{run}->pump;
	}
	($session->{pid}) = $session->{out} =~ /held (\d+)\n/;
	$session->{timer}->reset;
	return $session;
}

sub release
{
	my ($session, $how) = @_;
	$session->{in} .= ($how // 'ROLLBACK') . ";\n\\q\n";
	$session->{run}->finish;
	return;
}

# Gates: event triggers that do not return while gate.closed names their event and command and
# enough partitions are there already. The table is unlogged: a crash opens all gates.
sub make_gates
{
	my ($node, $db) = @_;
	$node->safe_psql($db, q{
		CREATE SCHEMA gate;
		GRANT USAGE ON SCHEMA gate TO PUBLIC;
		CREATE UNLOGGED TABLE gate.closed (step text, partitions int);
		GRANT SELECT ON gate.closed TO PUBLIC;
		CREATE FUNCTION gate.wait() RETURNS event_trigger LANGUAGE plpgsql
		SET search_path = pg_catalog, pg_temp AS $$
		BEGIN
			WHILE EXISTS (SELECT FROM gate.closed WHERE step = tg_event || ' ' || tg_tag
				AND partitions <= (SELECT count(*) FROM pg_class WHERE relispartition AND relkind = 'r'))
			LOOP
				PERFORM pg_sleep(0.01);
			END LOOP;
		END $$;
		CREATE EVENT TRIGGER gate_before ON ddl_command_start
			WHEN TAG IN ('CREATE TABLE', 'ALTER TABLE') EXECUTE FUNCTION gate.wait();
		CREATE EVENT TRIGGER gate_after ON ddl_command_end
			WHEN TAG IN ('CREATE TABLE', 'ALTER TABLE') EXECUTE FUNCTION gate.wait()});
	return;
}

# Closes the gate before or after a command once so many partitions are there.
sub close_step
{
	my ($node, $db, $step, $partitions) = @_;
	$partitions //= 0;
	$node->safe_psql($db, "INSERT INTO gate.closed VALUES ('$step', $partitions)");
	return;
}

sub open_steps
{
	my ($node, $db) = @_;
	$node->safe_psql($db, 'DELETE FROM gate.closed');
	return;
}

# The pid of the process of that application that stands at a closed gate.
sub wait_at_step
{
	my ($node, $db, $app) = @_;
	my $there = "FROM pg_stat_activity WHERE application_name = '$app' AND datname = '$db'";

	$node->poll_query_until('postgres', "SELECT EXISTS (SELECT $there AND wait_event = 'PgSleep')")
	  or die "$app did not come to the gate in $db";
	# between two sleeps it waits for nothing
	return $node->safe_psql('postgres', "SELECT pid $there");
}

sub audit_is_ok
{
	my ($node, $db) = @_;
	return $node->safe_psql($db,
		"SELECT concat_ws(' ', CASE WHEN ok THEN 'ok' ELSE 'broken' END, reason)"
		  . " FROM dbperf.verify_audit()");
}

# Runs SQL as a role; (exit status, standard output, standard error).
sub execute_as
{
	my ($node, $db, $role, $sql) = @_;
	return $node->psql($db, $sql, extra_params => [ '-U', $role ]);
}

1;
