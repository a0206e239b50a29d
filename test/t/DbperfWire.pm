# A client that speaks the protocol itself: as many sessions as a test likes, each statement with its
# SQLSTATE, command tag, rows and warnings, COPY in both directions, statements that are left waiting, and
# all of it without a process for each session or a round trip through psql.

package DbperfWire;

use strict;
use warnings;

use IO::Select;
use IO::Socket::UNIX;
use Time::HiRes qw(time);

# new($node, $db, %options): options are user, and settings (a hash, sent with the startup packet).
sub new
{
	my ($class, $node, $db, %options) = @_;
	my $self = bless { in => '', messages => [], result => undef }, $class;
	my $path = $node->host . '/.s.PGSQL.' . $node->port;
	my %startup = (user => $options{user} // 'postgres', database => $db, %{ $options{settings} // {} });

	# a busy server may not accept at once
	for my $try (1 .. 50)
	{
		$self->{socket} = IO::Socket::UNIX->new(Peer => $path) and last;
		select(undef, undef, undef, 0.1);
	}
	$self->{socket} or die "cannot connect to $path: $!";
	$self->{select} = IO::Select->new($self->{socket});
	my $body = pack('N', 196608) . join('', map { "$_\0$startup{$_}\0" } sort keys %startup) . "\0";
	$self->_write(pack('N', length($body) + 4) . $body);
	$self->_begin;
	my $result = $self->finish(60);
	die "cannot connect to $db: $result->{message}" if $result->{state} ne '00000';
	return $self;
}

sub pid { return $_[0]{pid} }
sub dead { return $_[0]{dead} }

sub close
{
	my ($self) = @_;
	if (my $socket = delete $self->{socket})
	{
		local $SIG{PIPE} = 'IGNORE';
		syswrite($socket, pack('aN', 'X', 4));
		close $socket;
	}
	return;
}

# Sends a statement (or several, in one message) and returns at once. copy: what COPY FROM STDIN gets.
sub send
{
	my ($self, $sql, $copy) = @_;
	$self->_begin;
	$self->{copy} = $copy // '';
	$self->_message('Q', "$sql\0");
	return;
}

# The same through the extended protocol: parameters as text, rows fetched `limit` at a time from
# the portal; formats: 1 for binary results.
sub send_bound
{
	my ($self, $sql, $parameters, %options) = @_;
	my $limit = $options{limit} // 0;
	my @parameters = @{ $parameters // [] };

	$self->_begin;
	$self->{copy} = '';
	$self->{limit} = $limit;
	$self->_message('P', "\0$sql\0" . pack('n', 0), 1);
	$self->_message('B', "\0\0" . pack('n n', 0, scalar @parameters)
		  . join('', map { defined $_ ? pack('N/a*', $_) : pack('N', 0xffffffff) } @parameters)
		  . pack('n n', 1, $options{binary} // 0), 1);
	$self->_message('E', "\0" . pack('N', $limit), 1);
	# Flush, not Sync, while there may be more to fetch: Sync ends the portal
	$self->_message($limit ? 'H' : 'S', '');
	return;
}

# Has the statement ended? Waits up to so many seconds.
sub poll
{
	my ($self, $seconds) = @_;
	my $until = time + ($seconds // 0);

	while (!$self->{done})
	{
		my $left = $until - time;
		$left = 0 if $left < 0;
		return 0 unless $self->{select}->can_read($left);
		$self->_read;
	}
	return 1;
}

# Waits for the end of the statement and returns its result:
#   state     SQLSTATE, 00000 without an error, 08006 if the server went away
#   message   of the error
#   tags      of all commands
#   rows      array of arrays, undef for NULL
#   copied    what COPY TO STDOUT has sent
#   warnings  texts
sub finish
{
	my ($self, $seconds) = @_;
	$self->poll($seconds // 180) or die "no answer from the server to: " . substr($self->{sql} // '', 0, 500);
	return $self->{result};
}

sub query
{
	my ($self, $sql, $copy) = @_;
	$self->{sql} = $sql;
	$self->send($sql, $copy);
	return $self->finish;
}

# The first column of the first row, or dies.
sub value
{
	my ($self, $sql) = @_;
	my $result = $self->query($sql);
	die "$sql: $result->{state} $result->{message}" if $result->{state} ne '00000';
	return @{ $result->{rows} } ? $result->{rows}[0][0] : undef;
}

sub run
{
	my ($self, @statements) = @_;
	for my $sql (@statements)
	{
		my $result = $self->query($sql);
		die "$sql: $result->{state} $result->{message}" if $result->{state} ne '00000';
	}
	return;
}

# I idle, T in a transaction, E in one that failed
sub status { return $_[0]{status} // 'I' }

sub _begin
{
	my ($self) = @_;
	$self->{done} = 0;
	$self->{limit} = 0;
	$self->{result} = { state => '00000', message => '', tags => [], rows => [], copied => '', warnings => [] };
	$self->_gone if $self->{dead};
	return;
}

sub _gone
{
	my ($self) = @_;
	$self->{dead} = 1;
	$self->{done} = 1;
	if ($self->{result}{state} eq '00000')
	{
		$self->{result}{state} = '08006';
		$self->{result}{message} = 'the server closed the connection';
	}
	return;
}

sub _message
{
	my ($self, $type, $body, $later) = @_;
	$self->{out} = ($self->{out} // '') . pack('aN', $type, length($body) + 4) . $body;
	return if $later;
	my $out = $self->{out};
	$self->{out} = '';
	$self->_write($out);
	return;
}

sub _write
{
	my ($self, $data) = @_;
	my $offset = 0;

	local $SIG{PIPE} = 'IGNORE';
	return if $self->{dead};
	while ($offset < length $data)
	{
		my $n = syswrite($self->{socket}, $data, length($data) - $offset, $offset);
		next if !defined $n && $!{EINTR};
		return $self->_gone unless defined $n;
		$offset += $n;
	}
	return;
}

sub _read
{
	my ($self) = @_;
	my $n = sysread($self->{socket}, $self->{in}, 262144, length $self->{in});

	return if !defined $n && $!{EINTR};
	return $self->_gone unless $n;
	my $at = 0;
	my $have = length $self->{in};
	while ($have - $at >= 5)
	{
		my ($type, $len) = unpack('aN', substr($self->{in}, $at, 5));
		last if $have - $at < $len + 1;
		$self->_take($type, substr($self->{in}, $at + 5, $len - 4));
		$at += $len + 1;
	}
	substr($self->{in}, 0, $at) = '';
	return;
}

sub _fields
{
	my ($body) = @_;
	my %field;
	for my $part (split /\0/, $body)
	{
		$field{ substr($part, 0, 1) } = substr($part, 1) if length $part;
	}
	return \%field;
}

sub _take
{
	my ($self, $type, $body) = @_;
	my $result = $self->{result};

	if ($type eq 'D')
	{
		my ($n, @row, $at) = (unpack('n', $body));
		$at = 2;
		for (1 .. $n)
		{
			my $len = unpack('N', substr($body, $at, 4));
			$at += 4;
			if ($len == 0xffffffff)
			{
				push @row, undef;
				next;
			}
			push @row, substr($body, $at, $len);
			$at += $len;
		}
		push @{ $result->{rows} }, \@row;
	}
	elsif ($type eq 'C')
	{
		push @{ $result->{tags} }, substr($body, 0, -1);
		$self->_message('S', '') if $self->{limit};
	}
	elsif ($type eq 'Z')
	{
		$self->{status} = $body;
		$self->{done} = 1;
	}
	elsif ($type eq 'E')
	{
		my $field = _fields($body);
		# the first error is the cause of the others
		($result->{state}, $result->{message}, $result->{detail}) = @$field{qw(C M D)} if $result->{state} eq '00000';
		$self->_message('S', '') if $self->{limit};
	}
	elsif ($type eq 'N')
	{
		my $field = _fields($body);
		push @{ $result->{warnings} }, $field->{M} if $field->{V} eq 'WARNING';
	}
	elsif ($type eq 's')
	{
		# the portal has more
		$self->_message('E', "\0" . pack('N', $self->{limit}), 1);
		$self->_message('H', '');
	}
	elsif ($type eq 'G')
	{
		while ($self->{copy} =~ /(.{1,32000})/gs)
		{
			$self->_message('d', $1, 1);
		}
		$self->_message('c', '');
		$self->{copy} = '';
	}
	elsif ($type eq 'd')
	{
		$result->{copied} .= $body;
	}
	elsif ($type eq 'K')
	{
		($self->{pid}, $self->{key}) = unpack('NN', $body);
	}
	elsif ($type eq 'R' && unpack('N', $body) != 0)
	{
		die 'the server asks for a password';
	}
	return;
}

# Asks the server to cancel the running statement, as Ctrl-C in psql.
sub cancel
{
	my ($self, $node) = @_;
	my $socket = IO::Socket::UNIX->new(Peer => $node->host . '/.s.PGSQL.' . $node->port) or return;
	syswrite($socket, pack('N4', 16, 80877102, $self->{pid}, $self->{key}));
	CORE::close($socket);
	return;
}

1;
