/**
 * Whoever has seen something tells functions of it, as a person uses it: the examples of a folder, the clock and the cluster's own changes, `fn deploy --on`, and what is written while the process that tells is dead. In one cluster.
 */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { crc32, deflateSync } from "node:zlib";
import type { ClusterStatus } from "#cli/machine.ts";
import { TestS3 } from "#eventing/sources/testing/s3-server.ts";
import { canRunContainers, eventually, repository, startCluster, type TestCluster } from "../support/cluster.ts";

const skip = canRunContainers() ? false : "needs root, conmon and crun or runc";
const name = "sources-e2e";
const examples = join(repository, "examples/events");

describe("sources", { skip }, () => {
  let cluster: TestCluster;
  const kubectl = async (...args: readonly string[]) => (await cluster.kubectl(args)).stdout;
  const nodeless = async (...args: readonly string[]) => (await cluster.nodeless([...args, "--name", name])).stdout;
  const applied = (path: string) =>
    eventually(
      `${path} is taken`,
      async () => (await cluster.kubectl(["apply", "-f", path], { mayFail: true })).code === 0,
    );
  const logged = (fn: string, line: RegExp) =>
    eventually(`${fn} has logged ${line}`, async () => line.test(await nodeless("fn", "logs", fn)));

  before(async () => {
    cluster = await startCluster(name);
    await eventually("the kinds are there", async () => {
      const known = await kubectl("api-resources", "-o", "name");
      return known.includes("objectsources.nodeless.dev") && known.includes("functions.nodeless.dev");
    });
  });
  after(() => cluster.remove());

  test("the clock: a function runs on a schedule that its deployment names, until one does not name it", async () => {
    const deploy = (on: string) => nodeless("fn", "deploy", "report", "--source", join(examples, "report"), "--on", on);
    assert.match(
      await deploy("cron: */2 * * * * *"),
      / ✓ On cron: \*\/2 \* \* \* \* \* {2}\(pingsources\/report-cron-/,
    );
    await logged("report", /report for \d{4}-\d\d-\d\d, due at /);
    assert.match(
      await nodeless("event", "status"),
      /^NAME +SENT .*\npingsource\/report-cron-[0-9a-f]+ +[1-9]\d* +\d+ +0 +0 +[0-9.ms]+/m,
    );
    assert.match(await nodeless("fn", "describe", "report"), /Runs on:\n {2}cron: \*\/2/);

    await deploy("none");

    assert.equal(await kubectl("get", "pingsources", "-o", "name"), "");
  });

  test("a folder: a file arrives, a function makes the small one, and the Broker keeps it", async () => {
    await applied(join(examples, "thumbnails/pictures.yaml"));
    const on = "type = dev.nodeless.object.created and bucket = pictures";
    await nodeless("fn", "deploy", "thumbnails", "--source", join(examples, "thumbnails"), "--on", on);
    writeFileSync(join(await folder(), "photo.png"), png(200, 100));

    await logged("thumbnails", /photo\.png: 200x100 -> 64x32/);
    const line = await eventuallyEvent("thumbnail.created");
    const small = Buffer.from(line.event.data_base64 ?? "", "base64");
    assert.deepEqual([small.readUInt32BE(16), small.readUInt32BE(20)], [64, 32]);
  });

  test("a file that is written while the process that tells of it is dead is told of", async () => {
    const { processes } = JSON.parse(await nodeless("status", "-o", "json")) as ClusterStatus;
    const pid = processes.find(({ role }) => role === "eventing")?.pid;
    assert(pid !== undefined);

    process.kill(pid, "SIGKILL");
    writeFileSync(join(await folder(), "late.png"), png(10, 10));

    await logged("thumbnails", /late\.png: 10x10 -> 10x10/);
    const told = (await events("dev.nodeless.object.created")).map(({ event }) => event.id);
    assert.equal(new Set(told).size, 2, "each file has one id, however often it was told of");
  });

  test("a bucket of a service: an object arrives, and the same function makes the small one", async () => {
    // At loopback nobody is asked.
    const address = await kubectl("get", "nodes", "-o", "jsonpath={.items[0].status.addresses[0].address}");
    const s3 = await TestS3.start({ address, keys: new Map([["AKIDEXAMPLE", "secret/+="]]) });
    try {
      s3.makeBucket("pictures");
      s3.put("pictures", "in/bucket.png", png(200, 100));
      const keys = { AWS_ACCESS_KEY_ID: "AKIDEXAMPLE", AWS_SECRET_ACCESS_KEY: "secret/+=", AWS_ENDPOINT_URL: s3.url };
      const literals = Object.entries(keys).map(([key, value]) => `--from-literal=${key}=${value}`);
      await kubectl("create", "secret", "generic", "s3-credentials", ...literals);
      const source = join(examples, "thumbnails");
      const on = ["type = dev.nodeless.object.created and bucket = pictures", "object: s3://pictures/in/*.png"];
      const words = on.flatMap((one) => ["--on", one]);
      const said = await nodeless("fn", "deploy", "thumbnails", "--source", source, ...words);
      assert.match(
        said,
        / ✓ On object: s3:\/\/pictures\/in\/\*\.png {2}\(objectsources\/thumbnails-object-[0-9a-f]+\)/,
      );

      await logged("thumbnails", /bucket\.png: 200x100 -> 64x32/);
    } finally {
      await s3.close();
    }
  });

  test("the cluster: every change is told, as far as the source's service account sees it", async () => {
    await applied(join(examples, "audit"));
    await eventually("the source is ready", async () => {
      const path = "jsonpath={.status.conditions[?(@.type=='Ready')].status}";
      return (await kubectl("get", "apiserversource", "audit", "-o", path)) === "True";
    });
    await kubectl("create", "configmap", "colours", "--from-literal=sky=blue");
    await kubectl("delete", "configmap", "colours");

    await logged("audit", /add ConfigMap default\/colours by kubectl-create[^]*delete ConfigMap default\/colours/);
  });

  test("a Job that a SinkBinding picks is told of the sink in the write that makes it", async () => {
    const ref = { apiVersion: "eventing.knative.dev/v1", kind: "Broker", name: "default" };
    const subject = { apiVersion: "batch/v1", kind: "Job", selector: { matchLabels: { role: "sender" } } };
    const binding = {
      apiVersion: "sources.knative.dev/v1",
      kind: "SinkBinding",
      metadata: { name: "senders" },
      spec: { sink: { ref }, subject },
    };
    await cluster.kubectl(["apply", "-f", "-"], { input: JSON.stringify(binding) });
    await cluster.kubectl(["wait", "--for=condition=Ready", "sinkbinding/senders", "--timeout=20s"]);
    const container = { name: "send", image: "nobody/sender" };
    const job = {
      apiVersion: "batch/v1",
      kind: "Job",
      metadata: { name: "send", labels: { role: "sender" } },
      spec: { suspend: true, template: { spec: { restartPolicy: "Never", containers: [container] } } },
    };

    await cluster.kubectl(["create", "-f", "-"], { input: JSON.stringify(job) });

    const sink = await kubectl(
      "get",
      "job",
      "send",
      "-o",
      "jsonpath={.spec.template.spec.containers[0].env[?(@.name=='K_SINK')].value}",
    );
    assert.equal(sink, "http://broker-ingress.knative-eventing.svc.cluster.local/default/default");
  });

  test("what was sent is seen, and delivered again", async () => {
    assert.match(await nodeless("event", "send", "order.created", "--data", '{"id":17}'), /^Sent \S+ as #\d+$/m);
    assert.match(
      await nodeless("event", "tail", "--no-follow", "--type", "order.created"),
      /order\.created {2}\/nodeless\/cli {2}\{"id":17\}/,
    );
    const trigger = (await kubectl("get", "trigger", "-l", "nodeless.dev/on-function=thumbnails", "-o", "name")).trim();
    const runs = async () => (await nodeless("fn", "logs", "thumbnails")).split("photo.png: ").length - 1;
    const before = await runs();

    assert.match(
      await nodeless("event", "replay", trigger.split("/")[1] ?? "", "--since", "1h"),
      /^Delivering \d+ events again/,
    );

    await eventually("the picture is made again", async () => (await runs()) > before);
  });

  test("where tokens are asked for, sources and Subscriptions send those of service accounts of their own", async () => {
    const feature = "--from-literal=authentication-oidc=enabled";
    await kubectl("create", "configmap", "config-features", "-n", "knative-eventing", feature);
    const apiVersion = "messaging.knative.dev/v1";
    const channel = { apiVersion, kind: "InMemoryChannel", name: "pings" };
    const broker = { apiVersion: "eventing.knative.dev/v1", kind: "Broker", name: "default" };
    const source = { apiVersion: "sources.knative.dev/v1", kind: "PingSource", metadata: { name: "known" } };
    const items = [
      { apiVersion, kind: channel.kind, metadata: { name: channel.name } },
      { apiVersion, kind: "Subscription", metadata: { name: "on" }, spec: { channel, subscriber: { ref: broker } } },
      { ...source, spec: { schedule: "* * * * * *", sink: { ref: channel } } },
    ];
    const input = JSON.stringify({ apiVersion: "v1", kind: "List", items });
    await cluster.kubectl(["apply", "-f", "-"], { input });

    const line = await eventuallyEvent("dev.knative.sources.ping");

    assert.equal(line.event.source, "/apis/v1/namespaces/default/pingsources/known");
    const path = "jsonpath={.status.auth.serviceAccountName}";
    assert.equal(await kubectl("get", "subscription", "on", "-o", path), "on-oidc-messaging.knative.dev-subscription");
    const url = "http://broker-ingress.knative-eventing.svc.cluster.local/default/default";
    assert.equal(await kubectl("get", "broker", "default", "-o", "jsonpath={.status.address.url}"), url);
  });

  async function folder(): Promise<string> {
    return await kubectl("get", "objectsource", "pictures", "-o", "jsonpath={.status.path}");
  }

  type Line = { readonly event: { readonly id: string; readonly source: string; readonly data_base64?: string } };

  async function events(type: string): Promise<readonly Line[]> {
    const text = await nodeless("event", "tail", "--no-follow", "--type", type, "-o", "json");
    return text
      .split("\n")
      .filter((line) => line !== "")
      .map((line) => JSON.parse(line) as Line);
  }

  async function eventuallyEvent(type: string): Promise<Line> {
    let found: Line | undefined;
    await eventually(`there is an event ${type}`, async () => {
      [found] = await events(type);
      return found !== undefined;
    });
    assert(found);
    return found;
  }
});

/** A picture of colours that flow. */
function png(width: number, height: number): Buffer {
  const lines = Buffer.alloc(height * (width * 3 + 1));
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++)
      lines.set([(x * 255) / width, (y * 255) / height, 128], y * (width * 3 + 1) + 1 + x * 3);
  const head = Buffer.alloc(13);
  head.writeUInt32BE(width, 0);
  head.writeUInt32BE(height, 4);
  head.set([8, 2, 0, 0, 0], 8);
  const chunk = (title: string, data: Buffer) => {
    const body = Buffer.concat([Buffer.from(title), data]);
    const [length, sum] = [Buffer.alloc(4), Buffer.alloc(4)];
    length.writeUInt32BE(data.length);
    sum.writeUInt32BE(crc32(body));
    return Buffer.concat([length, body, sum]);
  };
  const signature = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
  return Buffer.concat([
    signature,
    chunk("IHDR", head),
    chunk("IDAT", deflateSync(lines)),
    chunk("IEND", Buffer.alloc(0)),
  ]);
}
