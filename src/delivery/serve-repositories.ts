/**
 * Joins what serves Repositories: the Git server, what becomes of pushes, and the controller. Loaded when there is one.
 */
import { YamlThread } from "#apimachinery/codecs/yaml-thread.ts";
import type { Service } from "#component-base/life-cycle.ts";
import { createRepositoryController } from "./controller/repository-controller.ts";
import type { DeliveryOptions } from "./delivery-options.ts";
import { Deployer } from "./deploy/deployer.ts";
import { RepositoryFolders } from "./git/bare-repository.ts";
import { repositories, type RepositoryObject } from "./kinds.ts";
import { Pushes } from "./push/pushes.ts";
import { Access } from "./server/access.ts";
import { GitServer } from "./server/git-server.ts";
import { WebhookCounter } from "./webhooks/webhook-counter.ts";
import { WebhookReceiver } from "./webhooks/webhook-receiver.ts";

/** Resolves when Git can be asked. */
export async function serveRepositories(options: DeliveryOptions): Promise<Pick<Service, "stop">> {
  const { client, clock, informers, signal } = options;
  const informer = informers.informer<RepositoryObject>({ resource: repositories });
  await informer.waitForSync(signal);
  const folders = new RepositoryFolders(options.folder, options.cage);
  const yaml = new YamlThread(clock);
  const look: { at: (repository: RepositoryObject) => void } = { at: () => {} };
  const pushes = new Pushes({
    ...options,
    folders,
    deployer: new Deployer({ ...options, yaml }),
    events: options.recorderFor("repository-controller"),
    onChange: (repository) => look.at(repository),
  });
  const counter = new WebhookCounter(clock, (repository) => look.at(repository));
  const ended = new AbortController();
  const until = AbortSignal.any([signal, ended.signal]);
  const webhooks = new WebhookReceiver({ ...options, folders, receiver: pushes, counter, signal: until });
  const server = new GitServer({
    access: new Access(options),
    folders,
    find: (namespace, name) => informer.lister.find(namespace, name),
    receiver: pushes,
    onWebhook: (request, response, repository) => webhooks.handle(request, response, repository),
    logger: options.logger,
  });
  // Git ended with the process that it was for.
  for (const uid of await folders.list()) await folders.removeQuarantines(uid);
  const listening = await options.listen((request, response) => server.handle(request, response));
  const controller = createRepositoryController({
    ...options,
    client,
    folders,
    pushes,
    addresses: listening.addresses,
    webhooks: counter,
  });
  look.at = (repository) => controller.lookAt(repository);
  await controller.start(signal);
  for (const repository of informer.lister.list()) await webhooks.resume(repository);
  options.logger.info("Serving repositories", { address: listening.addresses.machine });
  return {
    async stop() {
      pushes.stop();
      ended.abort(new Error("the Git server stops"));
      await webhooks.stop();
      await server.stop();
      await listening.stop();
      await controller.stop();
      yaml.stop();
    },
  };
}
