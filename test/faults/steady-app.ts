/**
 * An application that must notice nothing: web servers behind a Service, a pod that asks for them by name, and users outside. Whatever dies beside it, no request and no
 * lookup of it fails, and its containers stay the same processes.
 */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { createNamespace, deleteNamespace, deploy, exposeWeb, webCommand, webPort } from "./apps.ts";
import type { FaultContext } from "./fault.ts";
import { askedMs, type Load, type LoadReport, lookUp, requestPage } from "./load.ts";
import type { LiveContainer } from "./machine.ts";

const namespace = "steady";

/** Asks by name and through the Service as fast as it can; says only what failed, and now and then how many it did. wget by name, or with a timeout, would crash: busybox is linked statically. */
const askerCommand: string = `trap 'exit 0' TERM
n=0
while true; do
  n=$((n+1))
  address=$(nslookup web.${namespace}.svc.cluster.local | sed -n 's/^Address: //p')
  [ -n "$address" ] || { echo "FAILED lookup $n"; continue; }
  wget -q -O - http://$address/ > /dev/null || echo "FAILED request $n"
  [ $((n % 5)) = 0 ] && echo "done $n"
  sleep 0.02
done & wait`;

/** So long at most it takes to answer what was read, on a machine with much else to do. */
const readAndUnansweredMs = 100;

/** The application under load. */
export class SteadyApp {
  readonly #context: FaultContext;
  readonly #loads: ReadonlyMap<string, Load>;
  readonly #containers: readonly LiveContainer[];

  private constructor(context: FaultContext, loads: ReadonlyMap<string, Load>, containers: readonly LiveContainer[]) {
    this.#context = context;
    this.#loads = loads;
    this.#containers = containers;
  }

  /** Deploys it and begins to use it. */
  static async start(context: FaultContext, everyMs = 10): Promise<SteadyApp> {
    const { client, machine } = context;
    await createNamespace(client, namespace);
    const { clusterIP, nodePort } = await exposeWeb(client, namespace);
    await deploy(client, { namespace, name: "web", replicas: 2, command: webCommand, probePort: webPort });
    await deploy(client, { namespace, name: "asker", replicas: 1, command: askerCommand });
    const { addresses } = await machine.status();
    const loads = new Map([
      ["requests to the ClusterIP", requestPage(`http://${clusterIP}/`, everyMs)],
      ["requests to the node port", requestPage(`http://${addresses.nodePorts}:${nodePort}/`, everyMs)],
      ["lookups", lookUp(`web.${namespace}.svc.cluster.local`, machine.dnsAddress, everyMs)],
    ]);
    return new SteadyApp(context, loads, machine.liveContainers());
  }

  /** The same processes as at the start, nothing doubled, and no restart counted. */
  async assertUntouched(): Promise<void> {
    const { client, machine } = this.#context;
    const ids = (containers: readonly LiveContainer[]) =>
      containers
        .filter(({ uid }) => this.#containers.some((own) => own.uid === uid))
        .map(({ id, process }) => `${id} ${process.pid} ${process.startTicks}`)
        .sort();
    assert.deepEqual(ids(machine.liveContainers()), ids(this.#containers), "the containers are the same processes");
    const { items } = await client.list<PodState>({
      resource: { group: "", version: "v1", resource: "pods" },
      namespace,
    });
    assert.equal(items.length, this.#containers.length);
    for (const { metadata, status } of items) {
      const [container] = status.containerStatuses;
      assert.equal(container?.restartCount, 0, `restarts of ${metadata.name}`);
      assert.ok(container?.ready, `${metadata.name} is ready`);
    }
  }

  /**
   * Ends it all; throws when anything failed. Gives what each kind of user met. `lookupsMayFail`: while the node's process and the control plane were dead both, nobody could say what
   * a name means.
   */
  async stop({
    lookupsMayFail = false,
  }: {
    readonly lookupsMayFail?: boolean;
  } = {}): Promise<ReadonlyMap<string, LoadReport>> {
    const reports = new Map<string, LoadReport>();
    for (const [name, load] of this.#loads) reports.set(name, await load.stop());
    const said = this.#readAskerLog();
    await deleteNamespace(this.#context.client, namespace);
    for (const [name, { count, failures, longestMs, p50Ms }] of reports)
      this.#context.log(
        `${name}: ${count}, ${failures.length} failed${kindsOf(failures)}, p50 ${p50Ms} ms, longest ${longestMs} ms`,
      );
    for (const [name, report] of reports) {
      const { count } = report;
      const failures = name === "lookups" ? this.#withoutDied(report) : report.failures;
      if (name !== "lookups" || !lookupsMayFail) assert.deepEqual(failures, [], `${name} failed`);
      assert.ok(count > 20, `only ${count} ${name}: the load did not run`);
    }
    const failed = said.filter((line) => line.includes(lookupsMayFail ? "FAILED request" : "FAILED"));
    this.#context.log(
      `the pod that asks by name: ${said.at(-1)?.replace(/^.* F /, "") ?? "nothing"}, ${failed.length} failed`,
    );
    assert.deepEqual(failed, [], "requests by name from within a pod");
    assert.ok(
      said.some((line) => / done \d+$/.test(line)),
      "the pod that asks by name did so",
    );
    return reports;
  }

  /** Ends the load outside, whatever became of it. Harmless after `stop`. */
  async abandon(): Promise<void> {
    for (const load of this.#loads.values()) await load.stop();
  }

  /** A question that the node's process had just read when it was killed died with it, one at most: who asks by UDP asks again. All others wait in the socket for its successor. */
  #withoutDied({ startMs, failures }: LoadReport): readonly string[] {
    let left = failures;
    for (const diedMs of this.#context.machine.nodeDeathsMs) {
      const sinceAsked = (failure: string) => diedMs - startMs - askedMs(failure);
      const died = left.find((failure) => sinceAsked(failure) >= 0 && sinceAsked(failure) < readAndUnansweredMs);
      left = left.filter((failure) => failure !== died);
    }
    return left;
  }

  #readAskerLog(): string[] {
    const folder = join(this.#context.machine.nodeFolder, "log/pods");
    const pod = readdirSync(folder).find((name) => name.startsWith(`${namespace}_asker-`)) ?? "";
    return readFileSync(join(folder, pod, "main/0.log"), "utf8")
      .trim()
      .split("\n");
  }
}

/** How often which. */
function kindsOf(failures: readonly string[]): string {
  const counts = Map.groupBy(failures, (failure) => failure.replace(/^at \d+ ms: /, ""));
  return failures.length === 0 ? "" : ` (${[...counts].map(([kind, all]) => `${all.length} × ${kind}`).join(", ")})`;
}

type PodState = {
  readonly metadata: { readonly name: string };
  readonly status: {
    readonly containerStatuses: readonly { readonly restartCount: number; readonly ready: boolean }[];
  };
};
