/**
 * Knative Eventing's objects' side, when the cluster is to have it: its kinds once everything else runs, and the rest with the first object.
 */
import type { ControllerContext } from "#client/controller.ts";
import type { PartOfEventing } from "#eventing/eventing.ts";
import type { SourceOptions } from "#eventing/sources/source-controllers.ts";
import { LatePart } from "./late-part.ts";

/** What it works with. */
export type EventingPartOptions = ControllerContext & {
  /** Started with the first object of one of Eventing's kinds. */
  readonly parts: readonly PartOfEventing[];
  readonly sources: SourceOptions;
  readonly signal: AbortSignal;
};

/** Eventing. */
export function eventingPart(options: EventingPartOptions): LatePart {
  return new LatePart({
    ...options,
    title: "Knative Eventing",
    usedBy: { group: "eventing.knative.dev", version: "v1", resource: "brokers" },
    async begin(signal) {
      const { startEventing } = await import("#eventing/eventing.ts");
      return await startEventing({ ...options, signal });
    },
  });
}
