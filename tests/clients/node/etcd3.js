// A session of the client `etcd3`: `node etcd3.js HOST:PORT`. Prints JSON lines without ids and times.
"use strict";

const { Etcd3 } = require("etcd3");

const say = (what, ...values) => console.log(JSON.stringify([what, ...values]));
const pause = (seconds) => new Promise((resolve) => setTimeout(resolve, 1000 * seconds));

async function fails(what, work) {
  try {
    await work;
    say(what, "no error");
  } catch (error) {
    say(what, error.constructor.name, error.message);
  }
}

async function keys(client) {
  for (const key of ["a", "ab", "b", "c"]) await client.put(key).value(`v-${key}`);
  const again = await client.put("a").value("again").getPrevious();
  say("put", again.value.toString());
  say("get", await client.get("a").string(), await client.get("nothing").string());
  say("prefix", await client.getAll().prefix("a").strings());
  say("sorted", await client.getAll().sort("Mod", "Descend").limit(3).keys());
  say("count", await client.getAll().count());
  say("delete", (await client.delete().key("c")).deleted, (await client.delete().prefix("a")).deleted);
  await fails("put of no key", client.put("").value("x"));
  await fails("future", client.get("b").revision("100000").string());
}

async function transactions(client) {
  const won = await client.if("b", "Value", "==", "v-b").then(client.put("t").value("1")).commit();
  const lost = await client
    .if("b", "Version", ">", 7)
    .then(client.put("t").value("2"))
    .else(client.get("t"))
    .commit();
  say("transactions", won.succeeded, lost.succeeded, lost.responses[0].response_range.kvs[0].value.toString());
  await client.put("counter").value("0");
  const add = () =>
    client.stm().transact(async (tx) => {
      const value = await tx.get("counter").number();
      await tx.put("counter").value(value + 1);
    });
  await Promise.all([add(), add(), add(), add()]);
  say("software transactional memory", await client.get("counter").number());
}

async function leases(client) {
  const lease = client.lease(60);
  await lease.put("leased").value("x");
  say("lease", await client.get("leased").string());
  const alive = await lease.keepaliveOnce();
  say("keep alive", alive.TTL);
  await lease.revoke();
  say("revoked", await client.get("leased").string());
  const kept = client.lease(2, { autoKeepAlive: true });
  await kept.put("kept").value("x");
  await pause(4);
  say("kept alive", await client.get("kept").string());
  await kept.revoke();
  const lock = await client.lock("lock").ttl(30).acquire();
  await fails("held lock", client.lock("lock").ttl(30).acquire());
  await lock.release();
  await (await client.lock("lock").ttl(30).acquire()).release();
  say("locks");
}

async function watches(client) {
  const watcher = await client.watch().prefix("w/").withPreviousKV().create();
  const seen = [];
  const all = new Promise((resolve) => {
    watcher.on("put", (kv, previous) => {
      seen.push(["put", kv.key.toString(), kv.value.toString(), previous ? previous.value.toString() : null]);
    });
    watcher.on("delete", (kv) => {
      seen.push(["delete", kv.key.toString()]);
      resolve();
    });
  });
  await client.put("w/1").value("one");
  await client.put("w/1").value("two");
  await client.delete().key("w/1");
  await all;
  say("watch", seen);
  await watcher.cancel();
}

async function election(client) {
  const one = client.election("election", 30);
  const campaign = one.campaign("first");
  await new Promise((resolve, reject) => campaign.on("elected", resolve).on("error", reject));
  say("leader", await client.election("election").leader());
  await campaign.resign();
  say("nobody leads", (await client.election("election").leader()) ?? null);
}

async function users(client, host) {
  const role = await client.role("reader").create();
  await role.grant({ permission: "Read", range: client.range({ prefix: "b" }) });
  const root = await client.role("root").create();
  await (await client.user("root").create("root")).addRole(root);
  await (await client.user("alice").create("secret")).addRole(role);
  await client.auth.authEnable();
  const login = (username, password) => new Etcd3({ hosts: host, auth: { username, password } });
  const [alice, stranger, admin] = [login("alice", "secret"), login("alice", "wrong"), login("root", "root")];
  say("allowed", await alice.get("b").string());
  await fails("not allowed", alice.put("b").value("x"));
  await fails("too much", alice.getAll().strings());
  await fails("wrong password", stranger.get("b").string());
  await fails("nobody", client.get("b").string());
  await admin.auth.authDisable();
  for (const one of [alice, stranger, admin]) one.close();
}

async function main() {
  const client = new Etcd3({ hosts: `http://${process.argv[2]}` });
  for (const part of [keys, transactions, leases, watches, election]) await part(client);
  await users(client, `http://${process.argv[2]}`);
  say("status", (await client.maintenance.status()).version);
  client.close();
  say("done");
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
