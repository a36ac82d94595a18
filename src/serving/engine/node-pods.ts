/**
 * What a node itself says of its pods, which it knows sooner than the API; and what the last pod of each revision was called here.
 */
import type { Pod } from "#api/generated/types/core-v1.ts";
import { revisionOf } from "./pod-endpoints.ts";

/** The pods of one node. */
export class NodePods {
  /** By uid, as the node told of them last. */
  readonly #pods = new Map<string, Pod>();
  /** By revision's key. */
  readonly #lastNames = new Map<string, string>();

  /** A pod has another status. One that has ended is the API's to tell of. */
  set(pod: Pod): void {
    const { uid = "" } = pod.metadata ?? {};
    const hasEnded = pod.status?.phase === "Succeeded" || pod.status?.phase === "Failed";
    if (hasEnded) this.#pods.delete(uid);
    else this.#pods.set(uid, pod);
    this.#lastNames.set(revisionOf(pod), pod.metadata?.name ?? "");
  }

  /** The API has it no more. */
  delete(pod: Pod): void {
    this.#pods.delete(pod.metadata?.uid ?? "");
  }

  /** The revision's pods: `known` as the API tells, and those of this node as the node does. */
  amend(key: string, known: readonly Pod[]): readonly Pod[] {
    const all = new Map(known.map((pod) => [pod.metadata?.uid, pod]));
    for (const [uid, pod] of this.#pods) {
      if (revisionOf(pod) !== key) continue;
      // That it is to go the API knows first.
      const metadata = all.get(uid)?.metadata ?? pod.metadata;
      all.set(uid, { ...pod, ...(metadata === undefined ? {} : { metadata }) });
    }
    return [...all.values()];
  }

  /** Name of the revision's last pod here. */
  lastNameOf(key: string): string | undefined {
    return this.#lastNames.get(key);
  }

  /** The revision is gone. */
  forget(key: string): void {
    this.#lastNames.delete(key);
  }
}
