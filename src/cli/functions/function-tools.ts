/**
 * What `nodeless fn` asks of the machine beyond its objects. cmd/ hands an implementation in.
 */
import type { FunctionRuntime } from "#api/nodeless/function-runtime.ts";
import type { Terminal } from "#cli/terminal.ts";

/** A folder that was packed and put into the cluster's registry. */
export type PushedSource = { readonly reference: string; readonly fileCount: number; readonly sizeBytes: number };

/** A request to a function, made at the place where its cluster takes requests. */
export type FunctionRequest = {
  readonly url: string;
  readonly method: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array | undefined;
};

export type FunctionAnswer = {
  readonly status: number;
  readonly headers: readonly (readonly [name: string, value: string])[];
  readonly body: AsyncIterable<Uint8Array>;
};

/** A folder that is run while it is written. */
export type DevelopOptions = {
  readonly folder: string;
  readonly entrypoint: string | undefined;
  readonly port: number;
  readonly env: Readonly<Record<string, string>>;
  /** How long an answer may take. Default 300. */
  readonly timeoutSeconds: number | undefined;
};

/** Every method throws UserError for what the user can put right. */
export interface FunctionTools {
  /** Makes sure that the cluster is there, is up, and runs Functions. */
  ensureFunctions(cluster: string, terminal: Terminal): Promise<void>;
  /** Writes a new function's files into a folder that has none of them yet. Gives their names. */
  writeTemplate(
    folder: string,
    options: { readonly name: string; readonly runtime: FunctionRuntime; readonly isForEvents: boolean },
  ): readonly string[];
  /** Throws UserError for a folder that has no code of its runtime, before anything is made of it. */
  checkSource(
    folder: string,
    wanted: { readonly runtime: string; readonly entrypoint: string | undefined },
  ): Promise<void>;
  /** Packs a folder and puts it into the cluster's registry. The same folder gives the same reference. */
  pushSource(
    cluster: string,
    source: { readonly folder: string; readonly namespace: string; readonly name: string },
  ): Promise<PushedSource>;
  /** Where the cluster takes requests from this machine: "http://127.0.0.1", "http://127.0.2.1:8080". Undefined while it takes none. */
  requestAddress(cluster: string): Promise<string | undefined>;
  /** Asks a function by its URL, whatever the machine's names say. */
  ask(cluster: string, request: FunctionRequest): Promise<FunctionAnswer>;
  /** Runs a folder's function until the user interrupts, anew after each change. */
  develop(options: DevelopOptions, terminal: Terminal): Promise<void>;
}
