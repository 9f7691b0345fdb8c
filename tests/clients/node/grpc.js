// A session of `@grpc/grpc-js` with .proto files: `node grpc.js HOST:PORT FOLDER_OF_PROTOS`.
"use strict";

const grpc = require("@grpc/grpc-js");
const loader = require("@grpc/proto-loader");

const [address, folder] = process.argv.slice(2);
const options = { includeDirs: [folder], keepCase: true, longs: Number, enums: String, defaults: true };
const files = ["etcdserverpb/rpc.proto", "grpc_health_v1/health.proto"];
const services = grpc.loadPackageDefinition(loader.loadSync(files, options));
const { KV, Watch, Maintenance } = services.etcdserverpb;
const plain = grpc.credentials.createInsecure();
const say = (what, ...values) => console.log(JSON.stringify([what, ...values]));
const metadata = new grpc.Metadata();

function call(client, method, request, options = {}) {
  return new Promise((resolve) => {
    client[method](request, metadata, { deadline: Date.now() + 20000, ...options }, (error, answer) =>
      resolve(error ? { code: grpc.status[error.code], details: error.details } : answer),
    );
  });
}

// Compressed requests, and answers that are taken compressed.
const squeezed = { "grpc.default_compression_algorithm": 2, "grpc.default_compression_level": 2 };

async function keys(kv, what) {
  const put = await call(kv, "Put", { key: Buffer.from("a"), value: Buffer.alloc(100000, "v") });
  const first = put.header.revision;
  const got = await call(kv, "Range", { key: Buffer.from("a") });
  say(what, got.count, got.kvs[0].value.length, got.kvs[0].mod_revision - first);
  say(what, await call(kv, "Put", { value: Buffer.from("x") }));
  say(what, await call(kv, "Put", { key: Buffer.from("b"), value: Buffer.alloc(1600000) }));
  say(what, await call(kv, "Put", { key: Buffer.from("b"), lease: 12345 }));
  const many = await Promise.all(
    Array.from({ length: 300 }, (_, n) => call(kv, "Put", { key: Buffer.from(`m/${n}`), value: Buffer.from("x") })),
  );
  say(what, new Set(many.map((answer) => answer.header.revision)).size);
  const late = await call(kv, "Range", { key: Buffer.from("a") }, { deadline: Date.now() - 1 });
  say(what, late.code);
}

function stream(client, method) {
  const duplex = client[method](metadata);
  const waiting = [];
  const arrived = [];
  const push = (item) => (waiting.length ? waiting.shift()(item) : arrived.push(item));
  duplex.on("data", push);
  duplex.on("error", (error) => push({ code: grpc.status[error.code], details: error.details }));
  duplex.on("end", () => push("end"));
  duplex.next = () => (arrived.length ? Promise.resolve(arrived.shift()) : new Promise((r) => waiting.push(r)));
  return duplex;
}

async function watches(kv, watch) {
  const duplex = stream(watch, "Watch");
  duplex.write({ create_request: { key: Buffer.from("w/"), range_end: Buffer.from("w0"), prev_kv: true } });
  const created = await duplex.next();
  say("created", created.created, created.watch_id);
  duplex.write({ progress_request: {} });
  const progress = await duplex.next();
  say("progress", progress.watch_id, progress.events.length, progress.header.revision - created.header.revision);
  await call(kv, "Put", { key: Buffer.from("w/1"), value: Buffer.from("one") });
  await call(kv, "Put", { key: Buffer.from("w/1"), value: Buffer.from("two") });
  for (let seen = 0; seen < 2; ) {
    for (const event of (await duplex.next()).events) {
      say("event", event.type, event.kv.value.toString(), event.prev_kv ? event.prev_kv.value.toString() : null);
      seen += 1;
    }
  }
  duplex.write({ cancel_request: { watch_id: 0 } });
  say("canceled", (await duplex.next()).canceled);
  const { header } = await call(kv, "Put", { key: Buffer.from("w/1"), value: Buffer.from("three") });
  await call(kv, "Compact", { revision: header.revision });
  duplex.write({ create_request: { key: Buffer.from("w/1"), start_revision: 1 } });
  await duplex.next();
  const gone = await duplex.next();
  say("compacted", gone.canceled, gone.compact_revision - header.revision, gone.cancel_reason);
  duplex.cancel();
  say("ended", await duplex.next());
}

async function leases(lease) {
  const granted = await call(lease, "LeaseGrant", { TTL: 60 });
  const duplex = stream(lease, "LeaseKeepAlive");
  for (const id of [granted.ID, 12345]) {
    duplex.write({ ID: id });
    say("keep alive", (await duplex.next()).TTL);
  }
  duplex.end();
  say("ended", await duplex.next());
  say("gone", await call(lease, "LeaseRevoke", { ID: 12345 }));
}

async function maintenance(client) {
  say("status", (await call(client, "Status", {})).version);
  const snapshot = client.Snapshot({});
  let total = 0;
  for await (const piece of snapshot) total += piece.blob.length;
  say("snapshot", total > 1000);
}

async function main() {
  const open = (Service, options) => new Service(address, plain, options);
  const kv = open(KV);
  await keys(kv, "keys");
  await keys(open(KV, squeezed), "compressed");
  await watches(kv, open(Watch));
  // Ids of leases do not fit into a number of JavaScript: they are taken as text.
  const texts = grpc.loadPackageDefinition(loader.loadSync(files, { ...options, longs: String }));
  await leases(open(texts.etcdserverpb.Lease));
  await maintenance(open(Maintenance));
  const health = await call(open(services.grpc.health.v1.Health), "Check", { service: "" });
  say("health", health.status);
  const unknown = grpc.makeGenericClientConstructor({
    nothing: {
      path: "/etcdserverpb.KV/Nothing",
      requestStream: false,
      responseStream: false,
      requestSerialize: (value) => value,
      responseDeserialize: (value) => value,
    },
  });
  say("unknown method", await call(open(unknown), "nothing", Buffer.alloc(0)));
  say("done");
  process.exit(0);
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
