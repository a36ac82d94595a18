/**
 * Joins what serves Repositories: the Git server, what becomes of pushes, and the controller. Loaded when there is one.
 */
import type { Service } from "#component-base/life-cycle.ts";
import { createRepositoryController } from "./controller/repository-controller.ts";
import type { DeliveryOptions } from "./delivery-options.ts";
import { Deployer } from "./deploy/deployer.ts";
import { RepositoryFolders } from "./git/bare-repository.ts";
import { repositories, type RepositoryObject } from "./kinds.ts";
import { Pushes } from "./push/pushes.ts";
import { Access } from "./server/access.ts";
import { GitServer } from "./server/git-server.ts";
import { HttpFault } from "./server/http-fault.ts";

/** Resolves when Git can be asked. */
export async function serveRepositories(options: DeliveryOptions): Promise<Pick<Service, "stop">> {
  const { client, informers, signal } = options;
  const informer = informers.informer<RepositoryObject>({ resource: repositories });
  await informer.waitForSync(signal);
  const folders = new RepositoryFolders(options.folder, options.cage);
  const look: { at: (repository: RepositoryObject) => void } = { at: () => {} };
  const pushes = new Pushes({
    ...options,
    folders,
    deployer: new Deployer(options),
    onChange: (repository) => look.at(repository),
  });
  const server = new GitServer({
    access: new Access(options),
    folders,
    find: (namespace, name) => informer.lister.find(namespace, name),
    receiver: pushes,
    onWebhook: async () => {
      throw new HttpFault(404, "no webhook is expected here");
    },
    logger: options.logger,
  });
  const listening = await options.listen((request, response) => server.handle(request, response));
  const controller = createRepositoryController({
    ...options,
    client,
    folders,
    pushes,
    addresses: listening.addresses,
  });
  look.at = (repository) => controller.lookAt(repository);
  await controller.start(signal);
  options.logger.info("Serving repositories", { address: listening.addresses.machine });
  return {
    async stop() {
      pushes.stop();
      await server.stop();
      await listening.stop();
      await controller.stop();
    },
  };
}
