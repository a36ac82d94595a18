/**
 * The API server is killed while 64 clients write: what it has acknowledged is there afterwards, resourceVersions only grow, and a watch that goes on where it was hears
 * of every acknowledged write once and in order.
 */
import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import type { KubeObject } from "#apimachinery/meta.ts";
import { eventually } from "../support/cluster.ts";
import { createNamespace, deleteNamespace } from "./apps.ts";
import { killProcess, revived } from "./deaths.ts";
import type { Fault, FaultContext } from "./fault.ts";

const namespace = "durable";
const configMaps = { group: "", version: "v1", resource: "configmaps" };
const writers = 64;
const keysOfWriter = 3;

type Note = KubeObject & { readonly data: { readonly number: string } };
/** One acknowledged write. */
type Acknowledged = { readonly name: string; readonly number: number; readonly version: number };

export const durability: Fault = {
  name: "durability",
  claim:
    "of 64 writers' acknowledged writes none is lost when the API server is killed, and watches go on without a gap",
  async run(context) {
    const { client, log, size, random } = context;
    await createNamespace(client, namespace);
    const writing = new Writers(context);
    const watching = new NoteWatch(context);
    await watching.start();
    writing.start();
    for (let round = 0; round < (size === "long" ? 25 : 3); round++) {
      const before = writing.newestVersion;
      await sleep(random.integer(100, 900));
      const dead = killProcess(context, "control-plane");
      const known = [...writing.acknowledged];
      const tookMs = await revived(context, "control-plane", dead);
      await checkAcknowledged(context, known);
      assert.ok(writing.newestVersion > before, "writes go on");
      log(`round ${round}: ${known.length} acknowledged writes, back after ${tookMs} ms`);
    }
    await writing.stop();
    await checkAcknowledged(context, writing.acknowledged);
    await watching.heardAll(writing.acknowledged);
    assert.deepEqual([...writing.problems, ...watching.problems], []);
    log(
      `${writing.acknowledged.length} writes, all there and all heard of; the watch resumed ${watching.resumes} times`,
    );
    await deleteNamespace(client, namespace);
  },
};

/** Every key holds what was last acknowledged of it, or something that was written later. */
async function checkAcknowledged({ client }: FaultContext, acknowledged: readonly Acknowledged[]): Promise<void> {
  // A connection to the server that died may still have to find that out.
  const { items, metadata } = await eventually("a list", () => client.list<Note>({ resource: configMaps, namespace }));
  const found = new Map(items.map((note) => [note.metadata?.name, note]));
  const newest = new Map(acknowledged.map((write) => [write.name, write]));
  for (const { name, number, version } of newest.values()) {
    const note = found.get(name);
    assert.ok(note, `${name} was acknowledged and is gone`);
    assert.ok(
      Number(note.data.number) >= number,
      `${name} was acknowledged with ${number} and holds ${note.data.number}`,
    );
    if (Number(note.data.number) === number) assert.equal(Number(note.metadata?.resourceVersion), version);
    assert.ok(Number(metadata?.resourceVersion) >= version, "the newest resourceVersion went back");
  }
}

class Writers {
  readonly #context: FaultContext;
  readonly acknowledged: Acknowledged[] = [];
  readonly problems: string[] = [];
  newestVersion = 0;
  #isStopped = false;
  #running: readonly Promise<void>[] = [];

  constructor(context: FaultContext) {
    this.#context = context;
  }

  start(): void {
    this.#running = Array.from({ length: writers }, (_, writer) => this.#write(writer));
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    await Promise.all(this.#running);
  }

  async #write(writer: number): Promise<void> {
    const made = new Set<string>();
    for (let number = 0; !this.#isStopped; number++) {
      const name = `note-${writer}-${number % keysOfWriter}`;
      const sentAfter = this.newestVersion;
      try {
        const note = made.has(name) ? await this.#change(name, number) : await this.#create(name, number);
        made.add(name);
        const version = Number(note.metadata?.resourceVersion);
        // What was acknowledged before this was sent is older.
        if (version <= sentAfter) this.problems.push(`${name} got ${version} after ${sentAfter} was acknowledged`);
        this.newestVersion = Math.max(this.newestVersion, version);
        this.acknowledged.push({ name, number, version });
      } catch (error) {
        if ((error as { readonly reason?: string }).reason === "AlreadyExists") made.add(name);
        await sleep(50);
      }
    }
  }

  #create(name: string, number: number): Promise<Note> {
    const { client } = this.#context;
    return client.create({ resource: configMaps, namespace }, {
      apiVersion: "v1",
      kind: "ConfigMap",
      metadata: { name },
      data: { number: String(number), filling: "x".repeat((number * 37) % 3000) },
    } as unknown as Note);
  }

  #change(name: string, number: number): Promise<Note> {
    const body = { data: { number: String(number) } };
    return this.#context.client.patch({ resource: configMaps, namespace, name }, { type: "merge", body });
  }
}

class NoteWatch {
  readonly #context: FaultContext;
  readonly problems: string[] = [];
  readonly #heard = new Map<number, string>();
  readonly #stop = new AbortController();
  #version = 0;
  #loop: Promise<void> | undefined;
  resumes = 0;

  constructor(context: FaultContext) {
    this.#context = context;
  }

  async start(): Promise<void> {
    const { metadata } = await this.#context.client.list({ resource: configMaps, namespace });
    this.#version = Number(metadata?.resourceVersion);
    this.#loop = this.#follow();
  }

  /** Waits until the watch has come as far as the writes, and compares. */
  async heardAll(acknowledged: readonly Acknowledged[]): Promise<void> {
    const newest = Math.max(...acknowledged.map(({ version }) => version));
    for (let waitedMs = 0; this.#version < newest && waitedMs < 10_000; waitedMs += 50) await sleep(50);
    this.#stop.abort(new Error("enough"));
    await this.#loop;
    for (const { name, number, version } of acknowledged) {
      const heard = this.#heard.get(version);
      if (heard !== `${name} ${number}`)
        this.problems.push(`of ${name} ${number} at ${version} the watch said: ${heard}`);
    }
  }

  async #follow(): Promise<void> {
    while (!this.#stop.signal.aborted) {
      try {
        const options = { resourceVersion: String(this.#version), signal: this.#stop.signal };
        const events = await this.#context.client.watch<Note>({ resource: configMaps, namespace }, options);
        for await (const { type, object } of events) {
          const version = Number(object.metadata?.resourceVersion);
          if (type === "ERROR") this.problems.push(JSON.stringify(object));
          if (version <= this.#version) this.problems.push(`the watch went back from ${this.#version} to ${version}`);
          this.#version = version;
          this.#heard.set(version, `${object.metadata?.name} ${(object as Note).data?.number}`);
        }
      } catch (error) {
        if ((error as { readonly code?: number }).code === 410) this.problems.push("the watch could not go on: 410");
      }
      this.resumes += 1;
      await sleep(20);
    }
  }
}
