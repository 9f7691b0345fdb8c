package main

import (
	"context"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

func pairs(kvs []*mvccpb.KeyValue) [][]any {
	shown := make([][]any, 0, len(kvs))
	for _, kv := range kvs {
		lease := "none"
		if kv.Lease != 0 {
			lease = "some"
		}
		shown = append(shown, []any{
			string(kv.Key), string(kv.Value), rev(kv.CreateRevision), rev(kv.ModRevision), kv.Version, lease,
		})
	}
	return shown
}

func get(c clientv3.KV, what string, key string, options ...clientv3.OpOption) {
	answer, err := c.Get(ctx, key, options...)
	if err != nil {
		fails(what, err)
		return
	}
	say(what, rev(answer.Header.Revision), answer.Count, answer.More, pairs(answer.Kvs))
}

func keys(c *clientv3.Client) {
	for _, key := range []string{"a", "ab", "b", "c", "a"} {
		answer, err := c.Put(ctx, key, "v-"+key, clientv3.WithPrevKV())
		check(err)
		say("put", key, rev(answer.Header.Revision), answer.PrevKv != nil)
	}
	get(c, "get", "a")
	get(c, "missing", "zz")
	get(c, "prefix", "a", clientv3.WithPrefix())
	get(c, "serializable", "a", clientv3.WithSerializable())
	get(c, "limit", "", clientv3.WithPrefix(), clientv3.WithLimit(2))
	get(c, "sorted", "", clientv3.WithPrefix(), clientv3.WithSort(clientv3.SortByModRevision, clientv3.SortDescend))
	get(c, "keys only", "", clientv3.WithPrefix(), clientv3.WithKeysOnly())
	get(c, "count only", "", clientv3.WithPrefix(), clientv3.WithCountOnly())
	get(c, "old", "a", clientv3.WithRev(firstRev+1))
	get(c, "range", "ab", clientv3.WithRange("c"))
	get(c, "from key", "b", clientv3.WithFromKey())
	get(c, "least version", "", clientv3.WithPrefix(), clientv3.WithMinModRev(firstRev+3))
	get(c, "future", "a", clientv3.WithRev(firstRev+1000))
	get(c, "empty key", "")
	_, err := c.Put(ctx, "", "x")
	fails("put of no key", err)
	_, err = c.Put(ctx, "big", strings.Repeat("x", 1600000))
	fails("put too large", err)
	_, err = c.Put(ctx, "leased", "x", clientv3.WithLease(12345))
	fails("put with no lease", err)
	_, err = c.Put(ctx, "never", "", clientv3.WithIgnoreValue())
	fails("ignore value of nothing", err)
	deleted, err := c.Delete(ctx, "a", clientv3.WithPrefix(), clientv3.WithPrevKV())
	check(err)
	say("delete", deleted.Deleted, rev(deleted.Header.Revision), pairs(deleted.PrevKvs))
	short, cancel := context.WithTimeout(ctx, time.Nanosecond)
	defer cancel()
	_, err = c.Get(short, "b")
	fails("past its deadline", err)
}

func txns(c *clientv3.Client) {
	answer, err := c.Txn(ctx).
		If(clientv3.Compare(clientv3.Value("b"), "=", "v-b"), clientv3.Compare(clientv3.Version("c"), ">", 0),
			clientv3.Compare(clientv3.CreateRevision("none"), "=", 0)).
		Then(clientv3.OpPut("t", "1"), clientv3.OpGet("b"), clientv3.OpDelete("c", clientv3.WithPrevKV()),
			clientv3.OpTxn([]clientv3.Cmp{clientv3.Compare(clientv3.ModRevision("t"), "!=", 0)},
				[]clientv3.Op{clientv3.OpPut("nested", "yes")}, []clientv3.Op{clientv3.OpPut("nested", "no")})).
		Else(clientv3.OpGet("b")).Commit()
	check(err)
	say("txn", answer.Succeeded, rev(answer.Header.Revision), len(answer.Responses))
	get(c, "after txn", "", clientv3.WithPrefix())
	answer, err = c.Txn(ctx).If(clientv3.Compare(clientv3.Value("b"), "=", "other")).
		Then(clientv3.OpPut("t", "2")).Else(clientv3.OpGet("t")).Commit()
	check(err)
	say("failed txn", answer.Succeeded, rev(answer.Header.Revision), pairs(answer.Responses[0].GetResponseRange().Kvs))
	_, err = c.Txn(ctx).Then(clientv3.OpPut("twice", "1"), clientv3.OpPut("twice", "2")).Commit()
	fails("key twice", err)
	many := make([]clientv3.Op, 129)
	for i := range many {
		many[i] = clientv3.OpGet("b")
	}
	_, err = c.Txn(ctx).Then(many...).Commit()
	fails("too many", err)
}

func leases(c *clientv3.Client) {
	grant, err := c.Grant(ctx, 60)
	check(err)
	say("grant", grant.TTL)
	_, err = c.Put(ctx, "leased/1", "x", clientv3.WithLease(grant.ID))
	check(err)
	live, err := c.TimeToLive(ctx, grant.ID, clientv3.WithAttachedKeys())
	check(err)
	say("time to live", live.GrantedTTL, live.TTL > 50 && live.TTL <= 60, len(live.Keys))
	once, err := c.KeepAliveOnce(ctx, grant.ID)
	check(err)
	say("keep alive once", once.TTL)
	inner, cancel := context.WithCancel(ctx)
	short, err := c.Grant(ctx, 2)
	check(err)
	kept, err := c.KeepAlive(inner, short.ID)
	check(err)
	for range 3 {
		answer := <-kept
		say("kept alive", answer.TTL)
	}
	cancel()
	list, err := c.Leases(ctx)
	check(err)
	say("leases", len(list.Leases))
	_, err = c.Revoke(ctx, grant.ID)
	check(err)
	get(c, "revoked", "leased/", clientv3.WithPrefix())
	_, err = c.Revoke(ctx, grant.ID)
	fails("revoke again", err)
	_, err = c.KeepAliveOnce(ctx, grant.ID)
	fails("keep alive what is gone", err)
	live, err = c.TimeToLive(ctx, grant.ID)
	check(err)
	say("time to live of what is gone", live.TTL, live.GrantedTTL)
	_, err = c.Grant(ctx, 9000000001)
	fails("grant for too long", err)
	_, err = c.Put(ctx, "expires", "x", clientv3.WithLease(short.ID))
	check(err)
	gone := c.Watch(ctx, "expires")
	event := (<-gone).Events[0]
	say("expired", event.Type.String(), string(event.Kv.Key))
}

func members(c *clientv3.Client) {
	list, err := c.MemberList(ctx)
	check(err)
	say("members", len(list.Members), list.Members[0].Name, list.Members[0].IsLearner)
	state, err := c.Status(ctx, endpoint)
	check(err)
	say("status", state.Version, state.Leader == state.Header.MemberId, state.IsLearner, state.Errors)
	alarms, err := c.AlarmList(ctx)
	check(err)
	say("alarms", len(alarms.Alarms))
	_, err = c.HashKV(ctx, endpoint, 0)
	check(err)
	_, err = c.Defragment(ctx, endpoint)
	check(err)
	_, err = c.MemberRemove(ctx, 1234)
	fails("remove nobody", err)
	_, err = c.MemberPromote(ctx, list.Members[0].ID)
	fails("promote a voter", err)
	_, err = c.MoveLeader(ctx, 1234)
	fails("move to nobody", err)
	reader, err := c.Snapshot(ctx)
	check(err)
	buffer := make([]byte, 1<<16)
	total := 0
	for {
		n, err := reader.Read(buffer)
		total += n
		if err != nil {
			break
		}
	}
	say("snapshot", total > 1000)
}

func compaction(c *clientv3.Client) {
	now, err := c.Put(ctx, "compacted", "1")
	check(err)
	_, err = c.Compact(ctx, now.Header.Revision, clientv3.WithCompactPhysical())
	check(err)
	_, err = c.Compact(ctx, now.Header.Revision)
	fails("compact again", err)
	_, err = c.Compact(ctx, now.Header.Revision+1000)
	fails("compact the future", err)
	get(c, "compacted", "compacted", clientv3.WithRev(firstRev+1))
	answer := <-c.Watch(ctx, "compacted", clientv3.WithRev(firstRev+1))
	say("watch of what was compacted", answer.Canceled, answer.CompactRevision == now.Header.Revision)
	fails("watch of what was compacted", answer.Err())
}
