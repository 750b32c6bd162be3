# usage: perl server.pl MODEL PORT
# Each model reads a line and answers it: "get" with 3 MB, anything else with a sentence; then it lets
# go, whatever the client still sends.
use strict;
use warnings;
use IO::Socket::INET;
use IO::Select;

my ($model, $port) = @ARGV;
my $listener = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => $port, Listen => 20, ReuseAddr => 1)
    or die "port $port: $@\n";

sub serve {
    my ($in, $out) = @_;
    my $line = <$in>;
    print $out $line eq "get\n" ? "\0" x 3_000_000 : "no such thing: $line";
    $out->flush;
}

my %model = (
    # A child per connection, which exits with it open.
    fork => sub {
        $SIG{CHLD} = 'IGNORE';
        while (my $c = $listener->accept) {
            my $child = fork // die "fork: $!\n";
            if ($child == 0) {
                serve($c, $c);
                exit;
            }
            close $c;
        }
    },
    # One after the other.
    loop => sub {
        while (my $c = $listener->accept) {
            serve($c, $c);
            close $c;
        }
    },
    # As inetd: the connection becomes 0 and 1, and the child another program.
    exec => sub {
        $SIG{CHLD} = 'IGNORE';
        while (my $c = $listener->accept) {
            my $child = fork // die "fork: $!\n";
            if ($child == 0) {
                open STDIN, '<&', $c or die;
                open STDOUT, '>&', $c or die;
                exec $^X, '-e', '$_ = <>; print $_ eq "get\n" ? "\0" x 3_000_000 : "no such thing: $_"' or die;
            }
            close $c;
        }
    },
);
$model{$model}->();
