// One session of Go's clientv3 against one member, printed as JSON lines: what was done, and what came of it.
//
//	session ENDPOINT [CA.pem]
//
// Nothing volatile is printed (ids, times, ports), so that two servers can be compared line by line.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc/status"
)

const patience = 20 * time.Second

var (
	ctx       context.Context
	endpoint  string
	tlsConfig *tls.Config
	firstRev  int64
	quiet     = zap.NewNop()
)

// say prints one line of the transcript.
func say(what string, values ...any) {
	line, err := json.Marshal(append([]any{what}, values...))
	check(err)
	fmt.Println(string(line))
}

// fails prints the error that was expected of a step, with its gRPC code.
func fails(what string, err error) {
	if err == nil {
		say(what, "no error")
		return
	}
	code := status.Code(err).String()
	var known rpctypes.EtcdError
	if errors.As(err, &known) {
		code = known.Code().String()
	}
	say(what, code, err.Error())
}

func check(err error) {
	if err != nil {
		fmt.Fprintf(os.Stderr, "the session failed: %v\n", err)
		panic(err)
	}
}

// rev is a revision, counted from the start of the session.
func rev(revision int64) int64 {
	if revision == 0 {
		return 0
	}
	return revision - firstRev
}

func dial(address string, change func(*clientv3.Config)) *clientv3.Client {
	config := clientv3.Config{
		Endpoints:   []string{address},
		DialTimeout: patience,
		TLS:         tlsConfig,
		Logger:      quiet,
	}
	if change != nil {
		change(&config)
	}
	client, err := clientv3.New(config)
	check(err)
	return client
}

// relay passes connections on, until they are cut: for what a client does when its connection breaks.
type relay struct {
	listener net.Listener
	cut      chan struct{}
}

func newRelay(target string) *relay {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	r := &relay{listener: listener, cut: make(chan struct{})}
	go func() {
		for {
			inner, err := listener.Accept()
			if err != nil {
				return
			}
			outer, err := net.Dial("tcp", target)
			check(err)
			go pass(inner, outer)
			go pass(outer, inner)
			go func() {
				<-r.cut
				inner.Close()
				outer.Close()
			}()
		}
	}()
	return r
}

func pass(from, to net.Conn) {
	buffer := make([]byte, 1<<14)
	for {
		n, err := from.Read(buffer)
		if err != nil {
			return
		}
		if _, err := to.Write(buffer[:n]); err != nil {
			return
		}
	}
}

func main() {
	endpoint = os.Args[1]
	if len(os.Args) > 2 {
		pem, err := os.ReadFile(os.Args[2])
		check(err)
		pool := x509.NewCertPool()
		pool.AppendCertsFromPEM(pem)
		tlsConfig = &tls.Config{RootCAs: pool}
	}
	var cancel context.CancelFunc
	ctx, cancel = context.WithTimeout(context.Background(), 5*patience)
	defer cancel()
	client := dial(endpoint, nil)
	start, err := client.Get(ctx, "nothing")
	check(err)
	firstRev = start.Header.Revision
	keys(client)
	txns(client)
	leases(client)
	watches(client)
	if tlsConfig == nil {
		reconnect()
	}
	recipes(client)
	wrappers(client)
	members(client)
	compaction(client)
	users(client)
	check(client.Close())
	say("done")
}
