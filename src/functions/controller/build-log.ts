/**
 * What a build says, for people: a ConfigMap beside the function, written a few times a second while it grows. Who deploys follows it through the API.
 */
import { buildLogName, type FunctionObject } from "#api/nodeless/function.ts";
import { controllerReference } from "#apimachinery/owner-references.ts";
import { hasReason } from "#apimachinery/status-error.ts";
import type { KubeObject } from "#apimachinery/meta.ts";
import type { Client } from "#client/client.ts";
import type { Clock, Timer } from "#component-base/clock.ts";
import type { Logger } from "#component-base/logger.ts";
import { configMaps } from "#functions/kinds.ts";

const writeEveryMs = 200;
/** A ConfigMap holds a megabyte; the end of a log is what counts. */
const mostCharacters = 512 * 1024;

/** Annotation that says of which build a log is. */
export const buildAnnotation = "nodeless.dev/build";

type LogMap = KubeObject & { readonly data?: Readonly<Record<string, string>> };

type BuildLogParts = { readonly client: Client; readonly clock: Clock; readonly logger: Logger };

/** The log of one build. Writing never fails the build. */
export class BuildLog {
  readonly #fn: FunctionObject;
  readonly #inputHash: string;
  readonly #parts: BuildLogParts;
  #text = "";
  #timer: Timer | undefined;
  #writing: Promise<void> = Promise.resolve();

  constructor(fn: FunctionObject, inputHash: string, parts: BuildLogParts) {
    this.#fn = fn;
    this.#inputHash = inputHash;
    this.#parts = parts;
  }

  add(line: string): void {
    this.#text = `${this.#text}${line}\n`.slice(-mostCharacters);
    this.#timer ??= this.#parts.clock.setTimer(writeEveryMs, () => this.#flush());
  }

  /** Writes what is not written yet, even when there is nothing: an old log must not stand for this build. */
  async end(): Promise<void> {
    this.#flush();
    await this.#writing;
  }

  #flush(): void {
    this.#timer?.clear();
    this.#timer = undefined;
    const text = this.#text;
    this.#writing = this.#writing.then(() => this.#write(text));
  }

  async #write(text: string): Promise<void> {
    const { client, logger } = this.#parts;
    const { name = "", namespace = "" } = this.#fn.metadata ?? {};
    const ref = { resource: configMaps, namespace, name: buildLogName(name) };
    const wanted: LogMap = {
      apiVersion: "v1",
      kind: "ConfigMap",
      metadata: {
        name: ref.name,
        namespace,
        labels: { "nodeless.dev/function": name },
        annotations: { [buildAnnotation]: this.#inputHash },
        ownerReferences: [controllerReference(this.#fn)],
      },
      data: { log: text },
    };
    try {
      await client.patch(ref, { type: "apply", body: wanted }, { fieldManager: "nodeless-functions", force: true });
    } catch (error) {
      if (!hasReason(error, "NotFound")) logger.warn("Wrote no build log", { function: `${namespace}/${name}`, error });
    }
  }
}
