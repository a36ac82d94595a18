/**
 * All controllers of sources. Loaded with Eventing's others.
 */
import type { NamedController } from "#client/controller.ts";
import type { EventingContext } from "#eventing/common/context.ts";
import { createSinkBindingController, createSinkBindingEnd } from "./binding/sink-binding-controller.ts";
import { createContainerSourceController } from "./controllers/container-source-controller.ts";
import {
  createApiServerSourceController,
  createGitSourceController,
  createObjectSourceController,
  createPingSourceController,
} from "./controllers/sending-controllers.ts";

/** What sources need to know of where the cluster runs. */
export type SourceOptions = {
  /** What events of ApiServerSources name as their source: "https://10.41.0.1:443". */
  readonly apiServerUrl: string;
  /** The folder on this machine of a bucket of a namespace. */
  readonly bucketFolder: (namespace: string, bucket: string) => string;
};

/** One of each. */
export function createSourceControllers(context: EventingContext, options: SourceOptions): readonly NamedController[] {
  return [
    createPingSourceController(context),
    createApiServerSourceController(context, options.apiServerUrl),
    createObjectSourceController(context, options.bucketFolder),
    createGitSourceController(context),
    createContainerSourceController(context),
    createSinkBindingController(context),
    createSinkBindingEnd(context),
  ];
}
