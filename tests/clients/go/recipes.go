package main

import (
	"context"
	"fmt"
	"strconv"
	"sync"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
	"go.etcd.io/etcd/client/v3/leasing"
	"go.etcd.io/etcd/client/v3/namespace"
	"go.etcd.io/etcd/client/v3/ordering"
)

func session(c *clientv3.Client) *concurrency.Session {
	made, err := concurrency.NewSession(c, concurrency.WithTTL(30))
	check(err)
	return made
}

func recipes(c *clientv3.Client) {
	one, two := session(c), session(c)
	mutex, other := concurrency.NewMutex(one, "lock"), concurrency.NewMutex(two, "lock")
	check(mutex.Lock(ctx))
	fails("try a held lock", other.TryLock(ctx))
	locked := make(chan error)
	go func() { locked <- other.Lock(ctx) }()
	check(mutex.Unlock(ctx))
	check(<-locked)
	say("locked after unlock")
	check(other.Unlock(ctx))
	fails("unlock what is not held", other.Unlock(ctx))

	// The holder's session ends, and with it the lock.
	check(mutex.Lock(ctx))
	go func() { locked <- other.Lock(ctx) }()
	check(one.Close())
	check(<-locked)
	say("locked after the session's end")
	check(two.Close())

	elections(c)
	memory(c)
}

func elections(c *clientv3.Client) {
	one, two := session(c), session(c)
	first, second := concurrency.NewElection(one, "election"), concurrency.NewElection(two, "election")
	_, err := first.Leader(ctx)
	fails("nobody leads", err)
	check(first.Campaign(ctx, "first"))
	inner, cancel := context.WithCancel(ctx)
	observed := second.Observe(inner)
	say("observed", string((<-observed).Kvs[0].Value))
	check(first.Proclaim(ctx, "still first"))
	say("observed", string((<-observed).Kvs[0].Value))
	won := make(chan error)
	go func() { won <- second.Campaign(ctx, "second") }()
	check(first.Resign(ctx))
	check(<-won)
	leader, err := second.Leader(ctx)
	check(err)
	say("leader", string(leader.Kvs[0].Value))
	fails("proclaim without leading", first.Proclaim(ctx, "no"))
	cancel()
	check(second.Resign(ctx))
	check(one.Close())
	check(two.Close())
}

// memory moves money about with software transactional memory; the sum stays.
func memory(c *clientv3.Client) {
	for i := range 4 {
		_, err := c.Put(ctx, fmt.Sprintf("account/%d", i), "100")
		check(err)
	}
	var group sync.WaitGroup
	for mover := range 4 {
		group.Add(1)
		go func() {
			defer group.Done()
			for i := range 5 {
				from, to := fmt.Sprintf("account/%d", mover), fmt.Sprintf("account/%d", (mover+i+1)%4)
				if from == to {
					continue
				}
				_, err := concurrency.NewSTM(c, func(stm concurrency.STM) error {
					a, _ := strconv.Atoi(stm.Get(from))
					b, _ := strconv.Atoi(stm.Get(to))
					stm.Put(from, strconv.Itoa(a-7))
					stm.Put(to, strconv.Itoa(b+7))
					return nil
				})
				check(err)
			}
		}()
	}
	group.Wait()
	answer, err := c.Get(ctx, "account/", clientv3.WithPrefix())
	check(err)
	sum := 0
	for _, kv := range answer.Kvs {
		balance, _ := strconv.Atoi(string(kv.Value))
		sum += balance
	}
	say("sum", sum)
	// How often the transactions were tried differs from run to run.
	firstRev = answer.Header.Revision
}

func wrappers(c *clientv3.Client) {
	inside := namespace.NewKV(c.KV, "space/")
	_, err := inside.Put(ctx, "k", "v")
	check(err)
	get(inside, "in the namespace", "", clientv3.WithPrefix())
	get(c, "from outside", "space/", clientv3.WithPrefix())
	channel := namespace.NewWatcher(c.Watcher, "space/").Watch(ctx, "k", clientv3.WithRev(firstRev+1))
	events("watch in the namespace", channel, 1)

	cached, closeCache, err := leasing.NewKV(c, "leasing/")
	check(err)
	_, err = cached.Put(ctx, "cached", "1")
	check(err)
	first, err := cached.Get(ctx, "cached")
	check(err)
	_, err = cached.Put(ctx, "cached", "2")
	check(err)
	second, err := cached.Get(ctx, "cached")
	check(err)
	say("leasing", string(first.Kvs[0].Value), string(second.Kvs[0].Value))
	closeCache()

	ordered := ordering.NewKV(c.KV, ordering.NewOrderViolationSwitchEndpointClosure(c))
	answer, err := ordered.Get(ctx, "cached", clientv3.WithSerializable())
	check(err)
	say("ordering", string(answer.Kvs[0].Value))
	firstRev = answer.Header.Revision
}

// users is the last part: it switches authentication on, and off again.
func users(c *clientv3.Client) {
	step := func(what string, err error) { fails(what, err) }
	_, err := c.AuthEnable(ctx)
	step("enable without root", err)
	for _, name := range []string{"root", "reader"} {
		_, err = c.UserAdd(ctx, name, name+"-password")
		check(err)
	}
	_, err = c.UserAdd(ctx, "root", "again")
	step("user twice", err)
	_, err = c.RoleAdd(ctx, "root")
	check(err)
	_, err = c.RoleAdd(ctx, "read")
	check(err)
	_, err = c.RoleGrantPermission(ctx, "read", "b", "c", clientv3.PermissionType(clientv3.PermRead))
	check(err)
	_, err = c.UserGrantRole(ctx, "root", "root")
	check(err)
	_, err = c.UserGrantRole(ctx, "reader", "read")
	check(err)
	_, err = c.UserGrantRole(ctx, "reader", "nothing")
	step("grant of no role", err)
	_, err = c.AuthEnable(ctx)
	check(err)
	_, err = c.Get(ctx, "b")
	step("without a name", err)
	as := func(name, password string) (*clientv3.Client, error) {
		return clientv3.New(clientv3.Config{
			Endpoints: []string{endpoint}, DialTimeout: patience, Username: name, Password: password,
			TLS: tlsConfig, Logger: quiet,
		})
	}
	_, err = as("reader", "wrong")
	step("wrong password", err)
	reader, err := as("reader", "reader-password")
	check(err)
	get(reader, "reader gets", "b")
	get(reader, "reader gets too much", "a", clientv3.WithPrefix())
	_, err = reader.Put(ctx, "b", "x")
	step("reader puts", err)
	_, err = reader.UserList(ctx)
	step("reader lists users", err)
	_, err = reader.Txn(ctx).If(clientv3.Compare(clientv3.Value("zz"), "=", "")).Then(clientv3.OpGet("b")).Commit()
	step("reader compares too much", err)
	denied := <-reader.Watch(ctx, "zz")
	step("reader watches", denied.Err())
	check(reader.Close())
	root, err := as("root", "root-password")
	check(err)
	state, err := root.AuthStatus(ctx)
	check(err)
	say("auth", state.Enabled)
	role, err := root.RoleGet(ctx, "read")
	check(err)
	say("role", role.Perm[0].PermType.String(), string(role.Perm[0].Key), string(role.Perm[0].RangeEnd))
	user, err := root.UserGet(ctx, "reader")
	check(err)
	say("user", user.Roles)
	_, err = root.AuthDisable(ctx)
	check(err)
	check(root.Close())
	get(c, "after all", "b")
}
