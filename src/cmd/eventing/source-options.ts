/**
 * What sources of events must know of where the cluster runs: the same for who looks after them and who sends.
 */
import { join } from "node:path";
import { addressPlan } from "#cmd/machine/address-plan.ts";
import type { Cluster } from "#cmd/machine/clusters.ts";
import type { SourceOptions } from "#eventing/sources/source-controllers.ts";

/** Buckets lie in the cluster's own folder and go with it. */
export function sourceOptions({ record, layout }: Cluster): SourceOptions {
  return {
    apiServerUrl: `https://${addressPlan(record).kubernetesService}:443`,
    bucketFolder: (namespace, bucket) => join(layout.folder, "objects", namespace, bucket),
  };
}
