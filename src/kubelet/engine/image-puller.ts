/**
 * Makes sure that a container's image is here before it starts: pull policies, backoff, and the words that users read about it. As pkg/kubelet/images/image_manager.go,
 * v1.36.
 */
import type { Container, Pod } from "#api/generated/types/core-v1.ts";
import { formatDuration } from "#apimachinery/duration.ts";
import type { Clock } from "#component-base/clock.ts";
import { ImageError } from "#kubelet/container-runtime.ts";
import type { ImageInfo, ImageService, PulledImage, RegistryCredential } from "#kubelet/container-runtime.ts";
import type { KubeletEvents } from "#kubelet/events.ts";
import { containerFieldPath } from "#kubelet/events.ts";
import type { Backoff } from "./backoff.ts";
import type { PulledImages } from "./pulled-images.ts";

/** An image cannot be had just now. `reason` is the container's waiting reason; `retryMs` says when to ask again. */
export class ImageNotReady extends Error {
  readonly kind = "ImageNotReady";
  readonly reason: string;
  readonly retryMs: number;
  constructor(reason: string, message: string, retryMs: number, options?: ErrorOptions) {
    super(message, options);
    this.reason = reason;
    this.retryMs = retryMs;
  }
}

/** After a failed pull the container shows ErrImagePull for this long, then ImagePullBackOff. */
const showFailureMs = 1_000;
/** Images that can only come by other means (policy Never) and names that are wrong are looked at again this often. */
const lookAgainMs = 10_000;

export type ImagePullerOptions = {
  readonly images: ImageService;
  readonly pulled: PulledImages;
  readonly events: KubeletEvents;
  readonly backoff: Backoff;
  readonly clock: Clock;
};

/** Pulls images for containers. */
export class ImagePuller {
  readonly #options: ImagePullerOptions;
  readonly #lastErrors = new Map<string, string>();
  /** Looks that were begun while the pod's sandbox was made; each is used once. */
  readonly #ahead = new Map<string, Promise<ImageInfo | undefined>>();

  constructor(options: ImagePullerOptions) {
    this.#options = options;
  }

  /** The image, pulled if need be. Throws {@link ImageNotReady}. `credentials` is asked only before a pull. */
  async ensureImage(
    pod: Pod,
    container: Container,
    credentials: () => Promise<readonly RegistryCredential[]>,
    signal: AbortSignal,
  ): Promise<ImageInfo> {
    const requested = container.image ?? "";
    const reference = withDefaultTag(requested);
    const policy = container.imagePullPolicy || defaultPullPolicy(reference);
    // Asked under every policy: a name that is none is told before a pull is begun.
    const found = await this.#find(pod, container, reference);
    const isOpen =
      found !== undefined &&
      (found.isBuiltIn === true ||
        (policy !== "Always" && !(await this.#options.pulled.mustPull(reference, found, credentials))));
    if (found && isOpen) {
      const message = `Container image ${JSON.stringify(requested)} already present on machine and can be accessed by the pod`;
      this.#say(pod, container, "Normal", "Pulled", message);
      return found;
    }
    if (policy === "Never") {
      const message = `Container image ${JSON.stringify(requested)} is not present with pull policy of Never`;
      this.#say(pod, container, "Warning", "ErrImageNeverPull", message);
      throw new ImageNotReady("ErrImageNeverPull", message, lookAgainMs);
    }
    return this.#pull(pod, container, reference, credentials, signal);
  }

  /** Begins to look for the images of a pod that is about to start. */
  lookAhead(pod: Pod, containers: readonly Container[]): void {
    for (const container of containers) {
      const reference = withDefaultTag(container.image ?? "");
      if (container.imagePullPolicy === "Always") continue;
      const found = this.#options.images.findImage(reference);
      found.catch(() => undefined); // ensureImage asks again and tells
      this.#ahead.set(keyOf(pod, reference), found);
    }
  }

  /** The pod is gone. */
  forget(pod: Pod, containers: readonly Container[]): void {
    for (const container of containers) {
      const key = keyOf(pod, withDefaultTag(container.image ?? ""));
      this.#options.backoff.forget(key);
      this.#lastErrors.delete(key);
      this.#ahead.delete(key);
    }
  }

  async #find(pod: Pod, container: Container, reference: string): Promise<ImageInfo | undefined> {
    const key = keyOf(pod, reference);
    const ahead = this.#ahead.get(key);
    this.#ahead.delete(key);
    try {
      // What was looked up ahead and failed is looked up once more.
      return (await ahead?.catch(() => undefined)) ?? (await this.#options.images.findImage(reference));
    } catch (error) {
      throw this.#notInspected(pod, container, reference, error);
    }
  }

  #notInspected(pod: Pod, container: Container, reference: string, error: unknown): ImageNotReady {
    const isName = error instanceof ImageError && error.reason === "InvalidImageName";
    const message = isName
      ? `Failed to apply default image tag ${JSON.stringify(container.image ?? "")}: ${error.message}`
      : `Failed to inspect image ${JSON.stringify(reference)}: ${textOf(error)}`;
    this.#say(pod, container, "Warning", "InspectFailed", message);
    return new ImageNotReady(isName ? "InvalidImageName" : "ImageInspectError", message, lookAgainMs, { cause: error });
  }

  async #pull(
    pod: Pod,
    container: Container,
    reference: string,
    credentials: () => Promise<readonly RegistryCredential[]>,
    signal: AbortSignal,
  ): Promise<ImageInfo> {
    const { backoff, clock } = this.#options;
    const key = keyOf(pod, reference);
    const waitMs = backoff.remainingMs(key, backoff.updatedMs(key));
    if (waitMs > 0) throw this.#stillWaiting(pod, container, reference, waitMs);
    this.#lastErrors.delete(key);
    this.#say(pod, container, "Normal", "Pulling", `Pulling image ${JSON.stringify(reference)}`);
    const startedMs = clock.now();
    try {
      const image = await this.#pullNoting(reference, await credentials(), signal);
      const took = formatDuration(clock.now() - startedMs);
      const facts = `in ${took} (${took} including waiting). Image size: ${image.sizeBytes} bytes.`;
      this.#say(pod, container, "Normal", "Pulled", `Successfully pulled image ${JSON.stringify(reference)} ${facts}`);
      return image;
    } catch (error) {
      signal.throwIfAborted();
      const loaded = await this.#findLoaded(pod, container, reference, error);
      if (loaded) return loaded;
      backoff.next(key, clock.now());
      throw this.#pullFailed(pod, container, reference, error);
    }
  }

  /** An image that somebody loaded into this machine by hand stands in while its registry is out of reach: machines without a network run charts that say Always. */
  async #findLoaded(pod: Pod, container: Container, reference: string, error: unknown): Promise<ImageInfo | undefined> {
    if (!(error instanceof ImageError) || !error.isUnreachable) return undefined;
    const found = await this.#options.images.findImage(reference).catch(() => undefined);
    if (found?.isLoaded !== true) return undefined;
    const name = JSON.stringify(container.image ?? "");
    const message = `Container image ${name} was loaded into this machine and its registry cannot be reached: ${error.message}`;
    this.#say(pod, container, "Normal", "Pulled", message);
    return found;
  }

  async #pullNoting(
    reference: string,
    credentials: readonly RegistryCredential[],
    signal: AbortSignal,
  ): Promise<ImageInfo> {
    const { images, pulled } = this.#options;
    pulled.begun(reference);
    let image: PulledImage | undefined;
    try {
      image = await images.pullImage(reference, credentials, signal);
      return image;
    } finally {
      pulled.ended(reference, image);
    }
  }

  #stillWaiting(pod: Pod, container: Container, reference: string, waitMs: number): ImageNotReady {
    const message = `Back-off pulling image ${JSON.stringify(reference)}`;
    this.#say(pod, container, "Normal", "BackOff", message);
    const lastError = this.#lastErrors.get(keyOf(pod, reference));
    const text = lastError === undefined ? message : `${message}: ${lastError}`;
    return new ImageNotReady("ImagePullBackOff", text, waitMs);
  }

  #pullFailed(pod: Pod, container: Container, reference: string, error: unknown): ImageNotReady {
    const failure = asNotReady(reference, error);
    const text = `Failed to pull image ${JSON.stringify(reference)}: ${textOf(error)}`;
    this.#say(pod, container, "Warning", "Failed", text);
    this.#lastErrors.set(keyOf(pod, reference), `${failure.reason}: ${failure.message}`);
    return failure;
  }

  #say(pod: Pod, container: Container, type: "Normal" | "Warning", reason: string, message: string): void {
    // Without a name it is the image of a volume.
    const fieldPath = container.name === "" ? undefined : containerFieldPath(pod, container.name);
    this.#options.events.pod(pod, type, reason, message, fieldPath);
  }
}

function asNotReady(reference: string, error: unknown): ImageNotReady {
  if (!(error instanceof ImageError))
    return new ImageNotReady("ErrImagePull", textOf(error), showFailureMs, { cause: error });
  const why = {
    RegistryUnavailable: "the registry is unavailable",
    SignatureValidationFailed: "the signature validation failed",
  };
  const because = why[error.reason as keyof typeof why];
  const message =
    because === undefined ? error.message : `image pull failed for ${reference} because ${because}: ${error.message}`;
  return new ImageNotReady(error.reason, message, showFailureMs, { cause: error });
}

/** "busybox" is "busybox:latest"; references with a tag or digest stay. */
export function withDefaultTag(reference: string): string {
  if (reference.includes("@")) return reference;
  const lastPart = reference.slice(reference.lastIndexOf("/") + 1);
  return lastPart.includes(":") ? reference : `${reference}:latest`;
}

/** What holds where the container names no policy. */
export function defaultPullPolicy(reference: string): string {
  return reference.endsWith(":latest") ? "Always" : "IfNotPresent";
}

function keyOf(pod: Pod, reference: string): string {
  return `${pod.metadata?.uid ?? ""}_${reference}`;
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
