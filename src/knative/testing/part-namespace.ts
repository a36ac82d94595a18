/**
 * A namespace of a part that runs in this process, for tests of scenarios: whatever is written, the part comes to rest before it goes on.
 */
import type { GroupVersionResource, KubeObject } from "#apimachinery/meta.ts";
import type { Client } from "#client/client.ts";
import type { NamedController } from "#client/controller.ts";
import { settle } from "#client/testing/settle.ts";
import type { FakeClock } from "#component-base/clock.ts";

/** A part, as its namespaces see it. */
export type TestPart = {
  readonly client: Client;
  /** Lets all come to rest. */
  readonly settle: () => Promise<void>;
};

/** Lets controllers come to rest, in the time that first retries take and no more. `meanwhile` is waited for in each round. */
export async function comeToRest(
  clock: FakeClock,
  controllers: readonly NamedController[],
  meanwhile: () => Promise<void> = async () => {},
): Promise<void> {
  let quiet = 0;
  for (let round = 0; round < 400 && quiet < 6; round++) {
    await settle(3);
    await meanwhile();
    await clock.advance(10);
    quiet = controllers.every((controller) => controller.isIdle) ? quiet + 1 : 0;
  }
}

/** A part, as one test sees it. Writes return when all has come to rest. */
export class PartNamespace {
  readonly name: string;
  readonly #part: TestPart;

  constructor(part: TestPart, name: string) {
    this.#part = part;
    this.name = name;
  }

  async create<T extends KubeObject>(resource: GroupVersionResource, object: object): Promise<T> {
    const made = await this.#part.client.create<T>({ resource, namespace: this.name }, object as T);
    await this.#part.settle();
    return made;
  }

  async get<T extends KubeObject>(resource: GroupVersionResource, name: string): Promise<T> {
    return await this.#part.client.get<T>({ resource, namespace: this.name, name });
  }

  async list<T extends KubeObject>(resource: GroupVersionResource): Promise<readonly T[]> {
    return (await this.#part.client.list<T>({ resource, namespace: this.name })).items;
  }

  async merge<T extends KubeObject>(resource: GroupVersionResource, name: string, body: object): Promise<T> {
    const ref = { resource, namespace: this.name, name };
    const patched = await this.#part.client.patch<T>(ref, { type: "merge", body });
    await this.#part.settle();
    return patched;
  }

  async delete(resource: GroupVersionResource, name: string): Promise<void> {
    await this.#part.client.delete({ resource, namespace: this.name, name });
    await this.#part.settle();
  }
}
