/**
 * Starts push to deploy: installs the kind, and once there is a Repository, serves Git and keeps what is pushed. Nothing else is loaded or listens before.
 */
import { installDefinitions } from "#client/custom-resources.ts";
import type { Service } from "#component-base/life-cycle.ts";
import { ensureClusterRoles, ownKindRoles } from "#knative/roles.ts";
import { repositoryDefinition } from "./crds/repository-definition.ts";
import type { DeliveryOptions } from "./delivery-options.ts";
import { repositories, type RepositoryObject } from "./kinds.ts";

const retryMs = 5000;

/** Resolves when the kind can be used. */
export async function startDelivery(options: DeliveryOptions): Promise<Pick<Service, "stop">> {
  const { client, clock, informers, signal } = options;
  await Promise.all([
    installDefinitions(client, [repositoryDefinition()], { clock, signal }),
    ensureClusterRoles(client, ownKindRoles("nodeless-delivery", ["repositories"]), signal),
  ]);
  const ended = new AbortController();
  const first = Promise.withResolvers<void>();
  const informer = informers.informer<RepositoryObject>({ resource: repositories });
  const remove = informer.addHandler({ onAdd: () => first.resolve() });
  const until = AbortSignal.any([signal, ended.signal]);
  const running = first.promise.then(async () => {
    remove();
    return await serve(options, until);
  });
  running.catch(() => {}); // it was stopped
  return {
    async stop() {
      remove();
      ended.abort(new Error("delivery stops"));
      first.reject(new Error("there was no Repository"));
      await running.then(
        (serving) => serving.stop(),
        () => {},
      );
    },
  };
}

// A port that is taken, say, may be free later.
async function serve(options: DeliveryOptions, signal: AbortSignal): Promise<Pick<Service, "stop">> {
  const { clock, logger } = options;
  for (;;) {
    signal.throwIfAborted();
    try {
      const { serveRepositories } = await import("./serve-repositories.ts");
      return await serveRepositories({ ...options, signal });
    } catch (error) {
      signal.throwIfAborted();
      logger.error("Repositories could not be served", { error });
      await clock.sleep(retryMs, signal);
    }
  }
}
