/**
 * A Function that was just written, for tests that say themselves what becomes of it.
 */
import { type FunctionCondition, type FunctionObject, functions } from "#api/nodeless/function.ts";
import type { Client } from "#client/client.ts";
import { buildLogOf } from "#client/nodeless/build-lines.ts";

export type WrittenFunction = {
  readonly namespace: string;
  readonly name: string;
  readonly generation: number;
  /** Writes its conditions. */
  readonly say: (...conditions: readonly FunctionCondition[]) => Promise<void>;
  /** Writes what its build said so far. */
  readonly log: (text: string) => Promise<void>;
  readonly remove: () => Promise<void>;
};

/** Writes it into namespace "default"; the kind has to be served. */
export async function writeFunction(client: Client, name: string): Promise<WrittenFunction> {
  const namespace = "default";
  const ref = { resource: functions, namespace, name };
  const manifest = {
    apiVersion: "nodeless.dev/v1alpha1",
    kind: "Function",
    metadata: { name },
    spec: { source: { image: "x" } },
  };
  const made = await client.create<FunctionObject>({ resource: functions, namespace }, manifest);
  const generation = made.metadata?.generation ?? 0;
  return {
    namespace,
    name,
    generation,
    async say(...conditions) {
      const body = { status: { observedGeneration: generation, conditions } };
      await client.patch({ ...ref, subresource: "status" }, { type: "merge", body });
    },
    async log(text) {
      const at = buildLogOf(namespace, name);
      const body = { apiVersion: "v1", kind: "ConfigMap", metadata: { name: at.name }, data: { log: text } };
      await client.patch(at, { type: "apply", body }, { fieldManager: "test", force: true });
    },
    async remove() {
      await client.delete(ref);
    },
  };
}

/** Conditions of one that is built, and waits for its Service. */
export function waiting(reason: string, message: string): readonly FunctionCondition[] {
  return [
    { type: "Built", status: "True" },
    { type: "SourceReady", status: "True" },
    { type: "ServiceReady", status: "Unknown", reason, message },
    { type: "Ready", status: "Unknown", reason, message },
  ];
}

/** Conditions of one that is ready. */
export const done: readonly FunctionCondition[] = ["Built", "SourceReady", "ServiceReady", "Ready"].map((type) => ({
  type,
  status: "True",
}));
