/**
 * Resolves the images of revisions in the background, and remembers what came of it until it was written down.
 */
import type { Clock } from "#component-base/clock.ts";
import { registryOf } from "#serving/admission/image-reference.ts";
import type { DeploymentConfig } from "#serving/config/other-configs.ts";
import type { ContainerStatus, Revision } from "#serving/kinds.ts";
import type { ImageResolver } from "./image-resolver.ts";

/** What became of a revision's images: found, under way, or not to be had. */
export type Resolution =
  | {
      readonly kind: "resolved";
      readonly containers: readonly ContainerStatus[];
      readonly init: readonly ContainerStatus[];
    }
  | { readonly kind: "waiting" }
  | { readonly kind: "failed"; readonly message: string };

/** Images that could not be had are asked for again after this. */
const retryMs = 10_000;

type Attempt = { resolution: Resolution; readonly abort: AbortController; failedMs?: number };

/** Resolves; `onDone` is told the key of each revision whose images became known. */
export class Digests {
  readonly #attempts = new Map<string, Attempt>();
  readonly #images: ImageResolver | undefined;
  readonly #clock: Clock;
  readonly #onDone: (key: string) => void;

  constructor(options: {
    readonly images: ImageResolver | undefined;
    readonly clock: Clock;
    readonly onDone: (key: string) => void;
  }) {
    this.#images = options.images;
    this.#clock = options.clock;
    this.#onDone = options.onDone;
  }

  /** What is known by now; begins to resolve when nothing is. */
  resolve(key: string, revision: Revision, config: DeploymentConfig): Resolution {
    const images = this.#images;
    if (images === undefined) return unresolved(revision);
    const attempt = this.#attempts.get(key);
    const isOver = attempt?.failedMs !== undefined && this.#clock.now() >= attempt.failedMs + retryMs;
    if (attempt !== undefined && !isOver) return attempt.resolution;
    const fresh: Attempt = { resolution: { kind: "waiting" }, abort: new AbortController() };
    this.#attempts.set(key, fresh);
    // Settles into the attempt, never rejects.
    void this.#run(key, revision, { images, config, attempt: fresh });
    return fresh.resolution;
  }

  /** How long until images that could not be had are asked for again. */
  retryAfterMs(key: string): number {
    const failedMs = this.#attempts.get(key)?.failedMs ?? this.#clock.now();
    return Math.max(0, failedMs + retryMs - this.#clock.now());
  }

  forget(key: string): void {
    this.#attempts.get(key)?.abort.abort(new Error("the revision is gone"));
    this.#attempts.delete(key);
  }

  stop(): void {
    for (const key of this.#attempts.keys()) this.forget(key);
  }

  async #run(
    key: string,
    revision: Revision,
    how: { readonly images: ImageResolver; readonly config: DeploymentConfig; readonly attempt: Attempt },
  ): Promise<void> {
    const { attempt, config, images } = how;
    const timer = this.#clock.setTimer(config.digestResolutionTimeoutMs, () =>
      attempt.abort.abort(new Error(`not answered within ${config.digestResolutionTimeoutMs / 1000} s`)),
    );
    const { spec, metadata } = revision;
    const identity = {
      namespace: metadata?.namespace ?? "",
      serviceAccountName: spec?.serviceAccountName || "default",
      imagePullSecrets: (spec?.imagePullSecrets ?? []).flatMap(({ name }) => (name ? [name] : [])),
    };
    const one = async ({ name, image = "" }: { readonly name: string; readonly image?: string }) => {
      if (image.includes("@")) return { name, imageDigest: image };
      if (config.registriesSkippingTagResolving.includes(registryOf(image))) return { name };
      const digest = await images.resolve(image, identity, attempt.abort.signal).catch((error: unknown) => {
        const why = error instanceof Error ? error.message : String(error);
        throw new Error(`Unable to fetch image ${JSON.stringify(image)}: failed to resolve image to digest: ${why}`, {
          cause: error,
        });
      });
      return digest === undefined ? { name } : { name, imageDigest: digest };
    };
    try {
      const [containers, init] = await Promise.all([
        Promise.all((spec?.containers ?? []).map(one)),
        Promise.all((spec?.initContainers ?? []).map(one)),
      ]);
      attempt.resolution = { kind: "resolved", containers, init };
    } catch (error) {
      attempt.resolution = { kind: "failed", message: error instanceof Error ? error.message : String(error) };
      attempt.failedMs = this.#clock.now();
    } finally {
      timer.clear();
    }
    if (this.#attempts.get(key) === attempt) this.#onDone(key);
  }
}

function unresolved({ spec }: Revision): Resolution {
  return {
    kind: "resolved",
    containers: (spec?.containers ?? []).map(({ name }) => ({ name })),
    init: (spec?.initContainers ?? []).map(({ name }) => ({ name })),
  };
}
