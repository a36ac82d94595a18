/**
 * What the control plane does for Ingresses: statuses, events, and the nodes' right to read certificates. Loaded with the first Ingress.
 */
import type { Ingress } from "#api/generated/types/networking-v1.ts";
import type { ControllerContext, NamedController } from "#client/controller.ts";
import type { NamedSecrets } from "#client/named-secrets.ts";
import { networkGroup } from "./cluster-objects.ts";

const ingressResource = { group: "networking.k8s.io", version: "v1", resource: "ingresses" };

export class IngressPart {
  readonly #context: ControllerContext & { readonly signal: AbortSignal };
  #removeHandler = () => {};
  #controllers: Promise<readonly NamedController[]> | undefined;
  #secrets: NamedSecrets | undefined;

  constructor(context: ControllerContext & { readonly signal: AbortSignal }) {
    this.#context = context;
  }

  /** Waits for the first Ingress in the background. */
  start(): void {
    const ingresses = this.#context.informers.informer<Ingress>({ resource: ingressResource });
    this.#removeHandler = ingresses.addHandler({
      onAdd: () => {
        this.#controllers ??= this.#load();
      },
    });
  }

  async stop(): Promise<void> {
    this.#removeHandler();
    await Promise.all(((await this.#controllers) ?? []).map((controller) => controller.stop()));
    this.#secrets?.want(new Set());
  }

  /** Never rejects. */
  async #load(): Promise<readonly NamedController[]> {
    const context = this.#context;
    try {
      const [{ createIngressController }, { createIngressSecretRoles }, { NamedSecrets }] = await Promise.all([
        import("#network/ingress/ingress-controller.ts"),
        import("#network/ingress/ingress-secret-roles.ts"),
        import("#client/named-secrets.ts"),
      ]);
      this.#secrets = new NamedSecrets(context);
      const controllers = [
        createIngressSecretRoles({ ...context, readers: networkGroup }),
        createIngressController({ ...context, secrets: this.#secrets }),
      ];
      await Promise.all(controllers.map((controller) => controller.start(context.signal)));
      return controllers;
    } catch (error) {
      if (!context.signal.aborted) context.logger.error("Controllers of Ingresses could not be started", { error });
      return [];
    }
  }
}
