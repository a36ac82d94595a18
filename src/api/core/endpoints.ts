/**
 * Endpoints, the old form of EndpointSlices.
 */
import type { Endpoints } from "#api/generated/types/core-v1.ts";
import { itemsOf, setTextDefault } from "#api/defaults.ts";
import type { KindStrategy } from "#api/strategy.ts";

export const endpointsStrategy: KindStrategy<Endpoints> = {
  applyDefaults(draft) {
    for (const subset of itemsOf(draft["subsets"]))
      for (const port of itemsOf(subset["ports"])) setTextDefault(port, "protocol", "TCP");
  },
  allowsCreateOnUpdate: true,
  hasNoGeneration: true,
  deprecationWarning: "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice",
};
