package main

import (
	"context"
	"strconv"
	"strings"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// events reads so many events and prints them, whatever the responses they came in.
func events(what string, channel clientv3.WatchChan, count int) {
	shown := [][]any{}
	for len(shown) < count {
		answer, open := <-channel
		if !open {
			say(what, "closed", shown)
			return
		}
		check(answer.Err())
		for _, event := range answer.Events {
			line := []any{event.Type.String(), string(event.Kv.Key), len(event.Kv.Value), rev(event.Kv.ModRevision)}
			if event.PrevKv != nil {
				line = append(line, string(event.PrevKv.Value))
			}
			shown = append(shown, line)
		}
	}
	say(what, shown)
}

func watches(c *clientv3.Client) {
	all := c.Watch(ctx, "w/", clientv3.WithPrefix(), clientv3.WithPrevKV())
	puts := c.Watch(ctx, "w/", clientv3.WithPrefix(), clientv3.WithFilterDelete())
	created := <-c.Watch(ctx, "w/", clientv3.WithCreatedNotify())
	say("created", created.Created, len(created.Events))
	first, err := c.Put(ctx, "w/1", "one")
	check(err)
	_, err = c.Put(ctx, "w/1", "two")
	check(err)
	_, err = c.Delete(ctx, "w/1")
	check(err)
	_, err = c.Txn(ctx).Then(clientv3.OpPut("w/2", "x"), clientv3.OpPut("w/3", "y")).Commit()
	check(err)
	events("all", all, 5)
	events("puts", puts, 4)
	events("from the past", c.Watch(ctx, "w/", clientv3.WithPrefix(), clientv3.WithRev(first.Header.Revision)), 5)
	inner, cancel := context.WithCancel(ctx)
	stopped := c.Watch(inner, "w/")
	cancel()
	_, open := <-stopped
	say("stopped", open)
	progress(c)
	fragments(c)
}

func progress(c *clientv3.Client) {
	channel := c.Watch(ctx, "w/", clientv3.WithCreatedNotify())
	<-channel
	check(c.RequestProgress(ctx))
	answer := <-channel
	say("progress", answer.IsProgressNotify(), rev(answer.Header.Revision))
}

// fragments lets one revision be larger than an answer may be.
func fragments(c *clientv3.Client) {
	channel := c.Watch(ctx, "f/", clientv3.WithPrefix(), clientv3.WithFragment(), clientv3.WithPrevKV())
	for round := range 2 {
		operations := []clientv3.Op{}
		for i := range 14 {
			operations = append(operations, clientv3.OpPut("f/"+strconv.Itoa(i), strings.Repeat("f", 100000+round)))
		}
		_, err := c.Txn(ctx).Then(operations...).Commit()
		check(err)
	}
	count := 0
	for count < 28 {
		answer := <-channel
		check(answer.Err())
		count += len(answer.Events)
	}
	say("fragments", count)
}

// reconnect cuts the connection under a watch and a lease, which both go on.
func reconnect() {
	first := newRelay(strings.TrimPrefix(endpoint, "http://"))
	through := dial(first.listener.Addr().String(), nil)
	direct := dial(endpoint, nil)
	channel := through.Watch(clientv3.WithRequireLeader(ctx), "r/", clientv3.WithPrefix())
	lease, err := through.Grant(ctx, 60)
	check(err)
	kept, err := through.KeepAlive(ctx, lease.ID)
	check(err)
	<-kept
	for i := range 3 {
		_, err := direct.Put(ctx, "r/before", strconv.Itoa(i))
		check(err)
	}
	events("before the cut", channel, 3)
	close(first.cut)
	for i := range 3 {
		_, err := direct.Put(ctx, "r/during", strconv.Itoa(i))
		check(err)
	}
	first.cut = make(chan struct{})
	events("across the cut", channel, 3)
	get(through, "read across the cut", "r/during")
	_, err = through.Revoke(ctx, lease.ID)
	check(err)
	check(through.Close())
	check(direct.Close())
}
