/**
 * Fills Secrets of type kubernetes.io/service-account-token: long-lived tokens for what cannot ask for short ones. Upstream's tokens-controller does it a moment after; here the Secret is complete
 * when its creation is answered, because this server has the key. A token dies with its Secret and with its account.
 */
import type { Secret, ServiceAccount } from "#api/generated/types/core-v1.ts";
import { invalid, invalidObject } from "#apimachinery/field-error.ts";
import type { KubeObject } from "#apimachinery/meta.ts";
import type { AdmissionAttributes, AdmissionPlugin } from "#apiserver/admission.ts";
import type { ServiceAccountTokens } from "#apiserver/authentication/service-account-tokens.ts";
import type { Client } from "#client/client.ts";
import { draftOf, findLive, isWriteTo } from "./admission-tools.ts";

const type = "kubernetes.io/service-account-token";
const nameKey = "kubernetes.io/service-account.name";
const uidKey = "kubernetes.io/service-account.uid";

export type ServiceAccountTokenSecretOptions = {
  readonly client: Client;
  readonly tokens: ServiceAccountTokens;
  /** PEM: what clients verify the API server with. */
  readonly rootCa: string;
};

export class ServiceAccountTokenSecretPlugin implements AdmissionPlugin {
  readonly name = "ServiceAccountTokenSecret";
  readonly #options: ServiceAccountTokenSecretOptions;

  constructor(options: ServiceAccountTokenSecretOptions) {
    this.#options = options;
  }

  handles(attributes: AdmissionAttributes): boolean {
    const isSecret = attributes.operation === "CREATE" && isWriteTo(attributes, "", "secrets");
    const { type: given, metadata } = (attributes.object ?? {}) as Secret;
    // Without the account's name, validation says what is missing.
    return isSecret && given === type && !!metadata?.annotations?.[nameKey];
  }

  async mutate(attributes: AdmissionAttributes): Promise<KubeObject | undefined> {
    const { namespace } = attributes.request;
    const draft = draftOf(attributes);
    const { metadata } = draft as Secret;
    const name = metadata?.annotations?.[nameKey] as string;
    const account = await this.#accountOf(namespace, name, draft as Secret);
    const uid = account.metadata?.uid as string;
    draft["metadata"].annotations = { ...metadata?.annotations, [uidKey]: uid };
    const token = this.#options.tokens.signLegacy({ namespace, name, uid }, metadata?.name ?? "");
    const base64 = (text: string) => Buffer.from(text).toString("base64");
    const filled = { "ca.crt": base64(this.#options.rootCa), namespace: base64(namespace), token: base64(token) };
    draft["data"] = { ...draft["data"], ...filled };
    return draft as KubeObject;
  }

  async #accountOf(namespace: string, name: string, secret: Secret): Promise<ServiceAccount> {
    const ref = { resource: { group: "", version: "v1", resource: "serviceaccounts" }, namespace, name };
    const account = await findLive<ServiceAccount>(this.#options.client, ref);
    const wanted = secret.metadata?.annotations?.[uidKey];
    if (account && (wanted === undefined || wanted === account.metadata?.uid)) return account;
    const field = `metadata.annotations[${account ? uidKey : nameKey}]`;
    const detail = account ? "is not the uid of this service account" : "there is no service account of this name";
    throw invalidObject({ group: "", kind: "Secret", name: secret.metadata?.name ?? "" }, [
      invalid(field, account ? wanted : name, detail),
    ]);
  }
}
