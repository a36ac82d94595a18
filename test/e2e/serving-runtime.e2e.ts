/**
 * The scenarios of Knative Serving's runtime conformance tests (test/conformance/runtime, v1.23), under their names, and those of its API tests that need something that answers. In real containers:
 * what a program sees of its request and around itself. Then programs that do not behave: each gets a condition or a status that says so.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import type { ClusterStatus } from "#cli/machine.ts";
import {
  canRunContainers,
  eventually,
  loadExampleImages,
  repository,
  startCluster,
  type TestCluster,
} from "../support/cluster.ts";
import {
  type Answer,
  ask,
  type AskOptions,
  nodeService,
  type NodeServiceOptions,
  trickle,
} from "../support/knative.ts";

const skip = canRunContainers() ? false : "needs root, conmon and crun or runc";
const name = "serving-runtime";
const readiness = "/healthz/readiness";

type Info = {
  readonly request: {
    readonly host: string;
    readonly headers: Readonly<Record<string, string>>;
    readonly version: string;
  };
  readonly files: Readonly<
    Record<
      string,
      { readonly isThere: boolean; readonly isDir?: boolean; readonly source?: string; readonly mode?: string }
    >
  >;
  readonly cgroups: Readonly<Record<string, { readonly value: string; readonly isWritable: boolean } | undefined>>;
  readonly mounts: readonly {
    readonly device: string;
    readonly path: string;
    readonly type: string;
    readonly options: readonly string[];
  }[];
  readonly envs: Readonly<Record<string, string>>;
  readonly args: readonly string[];
  readonly stdinIsAtEnd: boolean;
  readonly user: { readonly uid: number; readonly euid: number; readonly cwd: string };
};

const probes: Readonly<Record<string, { readonly probe: object; readonly env: string }>> = {
  http: { probe: { httpGet: { path: readiness } }, env: "READY_DELAY_MS" },
  tcp: { probe: { tcpSocket: {} }, env: "LISTEN_DELAY_MS" },
  exec: { probe: { exec: { command: ["cat", "/tmp/ready"] } }, env: "READY_DELAY_MS" },
};
const probeDelayMs = 2000;

function fromSecretsAndConfigs(kind: "secret" | "configMap"): object {
  const ref = { name: "conformance" };
  return {
    env: [{ name: "FROM_KEY", valueFrom: { [`${kind}KeyRef`]: { ...ref, key: "TEST_KEY" } } }],
    envFrom: [{ [`${kind}Ref`]: ref }],
  };
}

const volumes: Readonly<Record<string, object>> = {
  configmap: { configMap: { name: "conformance" } },
  projectedconfigmap: { projected: { sources: [{ configMap: { name: "conformance" } }] } },
  secret: { secret: { secretName: "conformance" } },
  projectedsecret: { projected: { sources: [{ secret: { name: "conformance" } }] } },
  complex: {
    projected: {
      sources: [
        { configMap: { name: "conformance", items: [{ key: "TEST_KEY", path: "in/config" }] } },
        { secret: { name: "conformance", items: [{ key: "TEST_KEY", path: "in/secret" }] } },
      ],
    },
  },
  token: {
    projected: { sources: [{ serviceAccountToken: { audience: "api", path: "token", expirationSeconds: 600 } }] },
  },
};

const resources = { limits: { cpu: "1", memory: "128Mi" }, requests: { cpu: "125m" } };

/** All Services of the file: they are deployed together. */
const services: Readonly<Record<string, NodeServiceOptions>> = {
  plain: {},
  limited: { container: { resources } },
  args: { container: { command: ["node", "/code/runtime.mjs", "abra"], args: ["cadabra", "do"] } },
  secrets: { container: fromSecretsAndConfigs("secret") },
  configs: { container: fromSecretsAndConfigs("configMap") },
  port: { container: { ports: [{ containerPort: 8801 }] } },
  h2c: { container: { ports: [{ name: "h2c", containerPort: 8080 }], env: [{ name: "PROTOCOL", value: "h2c" }] } },
  http1: { container: { ports: [{ name: "http1", containerPort: 8080 }] } },
  user: { container: { securityContext: { runAsUser: 2020 }, workingDir: "/" } },
  workdir: { container: { workingDir: "/tmp" } },
  live: {
    container: { livenessProbe: { httpGet: { path: "/healthz/liveness" }, periodSeconds: 1, failureThreshold: 3 } },
  },
  timeout: { spec: { timeoutSeconds: 3 } },
  volumes: {
    container: {
      volumeMounts: Object.keys(volumes).map((volume) => ({ name: volume, mountPath: `/volumes/${volume}` })),
    },
    spec: { volumes: Object.entries(volumes).map(([volume, source]) => ({ name: volume, ...source })) },
  },
  ...Object.fromEntries(
    Object.entries(probes).flatMap(([kind, { probe, env }]) =>
      [0, 1].map((periodSeconds) => {
        const delayed = { name: env, value: String(probeDelayMs) };
        return [
          `probe-${kind}-${periodSeconds}`,
          { container: { env: [delayed], readinessProbe: { ...probe, periodSeconds } } },
        ];
      }),
    ),
  ),
  unready: { container: { readinessProbe: { httpGet: { path: readiness }, periodSeconds: 1 } } },
  // Programs that do not behave.
  deaf: { container: { env: [{ name: "LISTEN_DELAY_MS", value: "10000000" }] }, spec: { timeoutSeconds: 2 } },
  broken: { container: { command: ["node", "-e", "console.log('no configuration'); process.exit(7)"] } },
};

describe("the runtime contract of Knative Serving", { skip }, () => {
  let cluster: TestCluster;
  let address: string;
  const kubectl = async (...args: readonly string[]) => (await cluster.kubectl(args)).stdout;
  const condition = (service: string, type: string, field: string) =>
    kubectl("get", "ksvc", service, "-o", `jsonpath={.status.conditions[?(@.type=='${type}')].${field}}`);
  const ready = (service: string) =>
    eventually(`${service} is ready`, async () => (await condition(service, "Ready", "status")) === "True");
  const get = async (service: string, options: Partial<AskOptions> = {}): Promise<Answer> => {
    await ready(service);
    return await ask(address, { host: `${service}.default.localhost`, ...options });
  };
  const info = async (service: string, options?: Partial<AskOptions>): Promise<Info> => {
    const { status, text } = await get(service, options);
    assert.equal(status, 200, text);
    return JSON.parse(text) as Info;
  };
  const dryRun = async (container: object) => {
    const manifest = JSON.stringify(nodeService("dry", "runtime.mjs", { container }));
    return await cluster.kubectl(["create", "--dry-run=server", "-o", "json", "-f", "-"], {
      input: manifest,
      mayFail: true,
    });
  };

  before(async () => {
    cluster = await startCluster(name, { arguments: ["--serving"] });
    await loadExampleImages(cluster, ["tests/node"]);
    const { stdout } = await cluster.nodeless(["status", "--name", name, "-o", "json"]);
    address = (JSON.parse(stdout) as ClusterStatus).addresses.nodePorts;
    const programs = join(repository, "test/e2e/serving");
    await kubectl("create", "configmap", "programs", `--from-file=runtime.mjs=${join(programs, "runtime.mjs")}`);
    await kubectl("create", "configmap", "conformance", "--from-literal=TEST_KEY=of-config");
    await kubectl("create", "secret", "generic", "conformance", "--from-literal=TEST_KEY=of-secret");
    const all = Object.entries(services).map(([service, options]) => nodeService(service, "runtime.mjs", options));
    const input = JSON.stringify({ apiVersion: "v1", kind: "List", items: all });
    await eventually("the Services are taken", async () => {
      const { code, stderr } = await cluster.kubectl(["apply", "-f", "-"], { input, mayFail: true });
      return code === 0 || /validation failed/.test(stderr) ? assert.equal(stderr, "") === undefined : false;
    });
  });
  after(() => cluster.remove());

  test("TestMustHaveCgroupConfigured", async () => {
    const { cgroups } = await info("limited");
    const value = (file: string) => cgroups[`/sys/fs/cgroup/${file}`]?.value;
    const memory = value("memory.max") ?? value("memory/memory.limit_in_bytes");
    const [quota, period] = value("cpu.max")?.split(" ") ?? [
      value("cpu/cpu.cfs_quota_us"),
      value("cpu/cpu.cfs_period_us"),
    ];

    assert.equal(memory, String(128 << 20));
    assert.equal(Number(quota) / Number(period), 1);
    const [weight, shares] = [value("cpu.weight"), value("cpu/cpu.shares")];
    assert.ok(weight === undefined ? shares === "128" : Number(weight) >= 1, `weight ${weight}, shares ${shares}`);
  });

  test("TestShouldHaveCgroupReadOnly", async () => {
    const { cgroups, mounts } = await info("plain");
    const seen = Object.values(cgroups).filter((one) => one !== undefined);

    assert.ok(seen.length >= 3);
    assert.ok(seen.every(({ isWritable }) => !isWritable));
    const mounted = mounts.filter(({ type }) => type.startsWith("cgroup"));
    const writable = mounted.filter(({ options }) => !options.includes("ro"));
    assert.ok(mounted.length > 0);
    assert.deepEqual(writable, []);
  });

  test("TestCmdArgs", async () => {
    assert.deepEqual((await info("args")).args.slice(1), ["/code/runtime.mjs", "abra", "cadabra", "do"]);
  });

  test("TestMustNotContainerConstraints", async () => {
    const mount = { name: "VolumeMount", mountPath: "/", mountPropagation: "HostToContainer" };
    for (const container of [{ ports: [{ name: "arbitrary" }] }, { volumeMounts: [mount] }])
      assert.notEqual((await dryRun(container)).code, 0, JSON.stringify(container));
  });

  test("TestShouldNotContainerConstraints", async () => {
    const refused: readonly object[] = [
      { ports: [{ containerPort: 80 }, { containerPort: 81 }] },
      { securityContext: { runAsUser: -10 } },
    ];
    const pruned: readonly object[] = [
      { lifecycle: { postStart: { exec: { command: ["true"] } } } },
      { lifecycle: { preStop: { exec: { command: ["true"] } } } },
      { ports: [{ hostPort: 80 }] },
      { stdin: true },
      { stdinOnce: true },
      { tty: true },
    ];
    for (const container of refused) assert.notEqual((await dryRun(container)).code, 0, JSON.stringify(container));
    // Refused, or gone from what was taken.
    for (const container of pruned) {
      const { code, stdout } = await dryRun(container);
      if (code !== 0) continue;
      const [taken] = (JSON.parse(stdout) as { spec: { template: { spec: { containers: object[] } } } }).spec.template
        .spec.containers;
      const text = JSON.stringify({ ...taken, volumeMounts: [] });
      assert.doesNotMatch(text, /postStart|preStop|hostPort|stdin|tty/, JSON.stringify(container));
    }
  });

  test("TestSecretsViaEnv", async () => {
    const { envs } = await info("secrets");
    assert.deepEqual([envs["FROM_KEY"], envs["TEST_KEY"]], ["of-secret", "of-secret"]);
  });

  test("TestConfigsViaEnv", async () => {
    const { envs } = await info("configs");
    assert.deepEqual([envs["FROM_KEY"], envs["TEST_KEY"]], ["of-config", "of-config"]);
  });

  test("TestShouldEnvVars", async () => {
    const { K_SERVICE, K_CONFIGURATION, K_REVISION } = (await info("plain")).envs;
    assert.deepEqual([K_SERVICE, K_CONFIGURATION, K_REVISION], ["plain", "plain", "plain-00001"]);
  });

  test("TestMustEnvVars", async () => {
    assert.equal((await info("port")).envs["PORT"], "8801");
  });

  test("TestShouldHaveStdinEOF", async () => {
    assert.equal((await info("plain")).stdinIsAtEnd, true);
  });

  test("TestMustHaveFiles", async () => {
    const { files } = await info("plain");
    const links = { "/dev/fd": "", "/dev/stdin": "/0", "/dev/stdout": "/1", "/dev/stderr": "/2" };
    for (const [path, end] of Object.entries(links)) assert.equal(files[path]?.source, `/proc/self/fd${end}`, path);
    for (const path of ["/dev/fd", "/proc/self/fd", "/tmp"]) assert.equal(files[path]?.isDir, true, path);
    const devices = ["full", "null", "ptmx", "random", "tty", "urandom", "zero"].map((device) => `/dev/${device}`);
    for (const path of [...devices, "/proc/self/fd/0", "/proc/self/fd/1", "/proc/self/fd/2"])
      assert.deepEqual([files[path]?.isThere, files[path]?.isDir], [true, false], path);
    assert.equal(files["/tmp"]?.mode, "777");
  });

  test("TestShouldHaveFiles", async () => {
    const { files } = await info("plain");
    assert.equal(files["/etc/resolv.conf"]?.isDir, false);
    assert.match(files["/etc/resolv.conf"]?.mode ?? "", /^6[4-7][4-7]$/);
    assert.equal(files["/dev/console"]?.isThere, false);
  });

  test("TestMustHaveHeadersSet", async () => {
    const { request } = await info("plain");
    assert.equal(request.host, "plain.default.localhost");
    assert.match(
      request.headers["forwarded"] ?? "",
      /^for=127\.\d+\.\d+\.\d+;host=plain\.default\.localhost;proto=http$/,
    );
  });

  test("TestShouldHaveHeadersSet", async () => {
    const traceparent = `00-${"a1".repeat(16)}-${"b2".repeat(8)}-01`;
    const { request } = await info("plain", { headers: { "this-was-user-set": "a value", traceparent } });
    assert.equal(request.headers["this-was-user-set"], "a value");
    assert.equal(request.headers["x-forwarded-proto"], "http");
    assert.match(request.headers["x-forwarded-for"] ?? "", /^127\.\d+\.\d+\.\d+$/);
    assert.match(request.headers["traceparent"] ?? "", /^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$/);
  });

  test("TestLivenessWithFail", async () => {
    const checks = async () => Number((await get("live", { path: "/healthz/livenessCounter" })).text);
    const restarts = async () => {
      const selector = "serving.knative.dev/service=live";
      const path = "jsonpath={.items[0].status.containerStatuses[0].restartCount}";
      return Number(await kubectl("get", "pods", "-l", selector, "-o", path));
    };
    await eventually("three checks", async () => (await checks()) >= 3);
    assert.equal(await restarts(), 0);

    await get("live", { path: "/start-failing", method: "POST" });
    await eventually("a restart", async () => (await restarts()) === 1);
    await eventually("checks again", async () => (await checks()) >= 3);
  });

  test("TestProtocols", async () => {
    const versions = await Promise.all(["h2c", "http1", "plain"].map(async (one) => (await info(one)).request.version));
    assert.deepEqual(versions, ["2.0", "1.1", "1.1"]);
  });

  for (const kind of Object.keys(probes))
    for (const period of [0, 1])
      test(`TestProbeRuntime/${kind}-period=${period}`, async () => {
        // Once it says that it is ready it answers at once.
        const { status, text } = await get(`probe-${kind}-${period}`, { path: readiness });
        assert.deepEqual([status, text], [200, "Hello World"]);
      });

  test("TestProbeRuntimeAfterStartup", async () => {
    await get("unready", { path: "/start-failing", method: "POST" });
    // A request waits for a pod that is ready: there is none any more.
    await eventually("requests wait", async () => {
      const answer = await get("unready", { timeoutMs: 1000 }).catch((error: Error) => error.message);
      return typeof answer === "string" ? /no answer within/.test(answer) : answer.status === 503;
    });
  });

  test("TestShouldHaveSysctlReadOnly", async () => {
    const mounted = (await info("plain")).mounts.filter(({ path }) => path === "/proc/sys");
    for (const { device, type, options } of mounted)
      assert.deepEqual([device, type, options.includes("ro")], ["proc", "proc", true]);
    assert.ok(mounted.length > 0);
  });

  test("TestMustRunAsUser", async () => {
    const { uid, euid } = (await info("user")).user;
    assert.deepEqual([uid, euid], [2020, 2020]);
  });

  test("TestShouldRunAsUserContainerDefault", async () => {
    const { uid, euid } = (await info("plain")).user;
    assert.deepEqual([uid, euid], [65_532, 65_532]);
  });

  test("TestWorkingDirService", async () => {
    assert.equal((await info("workdir")).user.cwd, "/tmp");
  });

  test("TestRevisionTimeout", async () => {
    const slow = (first: number, rest: number) => get("timeout", { path: `/slow?first=${first}&rest=${rest}` });
    const [within, late, begun] = await Promise.all([slow(500, 0), slow(4000, 0), slow(0, 4000)]);

    assert.deepEqual([within.status, within.text], [200, "first\nlast\n"]);
    assert.equal(late.status, 504);
    // What began in time has its status; that it is not whole can be seen.
    assert.deepEqual([begun.status, begun.text, begun.isBroken], [200, "first\n", true]);
  });

  test("TestConfigMapVolume, TestSecretVolume and the projected ones", async () => {
    const read = async (path: string) => (await get("volumes", { path: `/file?path=/volumes/${path}` })).text;
    assert.equal(await read("configmap/TEST_KEY"), "of-config");
    assert.equal(await read("projectedconfigmap/TEST_KEY"), "of-config");
    assert.equal(await read("secret/TEST_KEY"), "of-secret");
    assert.equal(await read("projectedsecret/TEST_KEY"), "of-secret");
    assert.deepEqual([await read("complex/in/config"), await read("complex/in/secret")], ["of-config", "of-secret"]);
    assert.match(await read("token/token"), /^[\w-]+\.[\w-]+\.[\w-]+$/);
  });

  test("TestDomainMapping", async () => {
    await kubectl("create", "namespace", "other");
    const copy = nodeService("second", "runtime.mjs", {
      container: { volumeMounts: [], command: ["node", "-e", second] },
    });
    const spec = (copy as { spec: { template: { spec: { volumes: unknown; containers: object[] } } } }).spec.template
      .spec;
    spec.volumes = [];
    spec.containers = spec.containers.map((container) => ({ ...container, volumeMounts: [] }));
    await cluster.kubectl(["-n", "other", "apply", "-f", "-"], { input: JSON.stringify(copy) });
    const host = "plain.example.org";
    const map = (namespace: string, service: string) =>
      cluster.kubectl(["-n", namespace, "apply", "-f", "-"], {
        input: JSON.stringify(mapping(host, namespace, service)),
      });
    const state = (namespace: string, type: string) =>
      kubectl(
        "-n",
        namespace,
        "get",
        "domainmapping",
        host,
        "-o",
        `jsonpath={.status.conditions[?(@.type=='${type}')].status}`,
      );
    await ready("plain");
    await map("default", "plain");
    await eventually("the domain is mapped", async () => (await state("default", "Ready")) === "True");
    assert.equal((JSON.parse((await ask(address, { host })).text) as Info).envs["K_SERVICE"], "plain");

    // The domain is taken, and stays with who has it.
    await map("other", "second");
    await eventually("the second is refused", async () => (await state("other", "DomainClaimed")) === "False");
    assert.equal((JSON.parse((await ask(address, { host })).text) as Info).envs["K_SERVICE"], "plain");
    await kubectl("delete", "domainmapping", host);
    await eventually("the second has it", async () => (await state("other", "Ready")) === "True");
    assert.equal((await ask(address, { host })).text, "second");
  });

  test("a program that listens nowhere, and one that ends at once, are told of", async () => {
    const state = async (service: string) => [
      await condition(service, "Ready", "status"),
      await condition(service, "Ready", "message"),
    ];
    await eventually("the broken one is told of", async () => (await state("broken"))[0] === "False");
    assert.match((await state("broken"))[1] ?? "", /Container failed with: no configuration/);
    assert.equal((await state("deaf"))[0], "Unknown");
    const [path] = (await kubectl("get", "rev", "deaf-00001", "-o", "jsonpath={.status.conditions}")).split("\n");
    assert.match(path ?? "", /Deploying/);
  });

  test("a request that trickles is cut off, and the pod goes on", async () => {
    const { status } = await trickle(address, "timeout.default.localhost");
    assert.match(status, /^HTTP\/1\.1 (408|504) /);
    assert.equal((await get("timeout", { path: "/healthz" })).status, 200);
  });
});

const second = "require('http').createServer((q, s) => s.end('second')).listen(process.env.PORT)";

function mapping(host: string, namespace: string, service: string): object {
  return {
    apiVersion: "serving.knative.dev/v1beta1",
    kind: "DomainMapping",
    metadata: { name: host },
    spec: { ref: { apiVersion: "serving.knative.dev/v1", kind: "Service", name: service, namespace } },
  };
}
