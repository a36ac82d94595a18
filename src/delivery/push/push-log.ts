/**
 * What the last push said, for who was not there: after a webhook nobody listens. A ConfigMap beside the Repository, NAME-push, key `log`.
 */
import type { KubeObject, OwnerReference } from "#apimachinery/meta.ts";
import type { Client } from "#client/client.ts";
import type { RepositoryObject } from "#delivery/kinds.ts";

const logLabel = "nodeless.dev/push-log";
const fieldManager = "nodeless-delivery";
/** A ConfigMap holds a megabyte; the end of a log is what counts. */
const mostCharacters = 256 * 1024;

type Voice = { readonly say: (text: string) => void };

/** Hears what is said to whoever pushes, and keeps it. */
export class PushLog implements Voice {
  readonly #voice: Voice;
  #text = "";

  constructor(voice: Voice) {
    this.#voice = voice;
  }

  say(text: string): void {
    this.#text = `${this.#text}${text}\n`.slice(-mostCharacters);
    this.#voice.say(text);
  }

  /** In the place of the one before. */
  async write(client: Client, { metadata }: RepositoryObject, owner: OwnerReference): Promise<void> {
    const { name = "", namespace = "" } = metadata ?? {};
    const ref = { resource: { group: "", version: "v1", resource: "configmaps" }, namespace, name: `${name}-push` };
    const body: KubeObject & { readonly data: object } = {
      apiVersion: "v1",
      kind: "ConfigMap",
      metadata: { name: ref.name, namespace, labels: { [logLabel]: name }, ownerReferences: [owner] },
      data: { log: this.#text },
    };
    await client.patch(ref, { type: "apply", body }, { fieldManager, force: true });
  }
}
