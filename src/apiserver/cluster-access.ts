/**
 * Access as a cluster has it: certificates, tokens, RBAC, the node authorizer, all built-in admission plugins, reviews, and the OpenID documents. For {@link createApiServer}'s `access`.
 */
import type { Clock } from "#component-base/clock.ts";
import type { Service } from "#component-base/life-cycle.ts";
import type { Logger } from "#component-base/logger.ts";
import { createInformerFactory, type InformerFactory } from "#client/informer-factory.ts";
import type { ValidatingAdmissionPolicy } from "#api/generated/types/admissionregistration-v1.ts";
import { createAdmissionPlugins } from "./admission/plugins.ts";
import { PolicyStatus, policyResource } from "./admission/policy-status.ts";
import type { Access, Loopback } from "./api-server.ts";
import { createAuthenticator } from "./authentication/authenticators.ts";
import { BootstrapTokenAuthenticator } from "./authentication/bootstrap-token.ts";
import { publishAuthenticationConfig } from "./authentication/published-config.ts";
import { ServiceAccountTokens } from "./authentication/service-account-tokens.ts";
import { anyToken } from "./authentication/token-authenticator.ts";
import { createAuthorizer } from "./authorization/authorizers.ts";
import { ensureRbacPolicy } from "./authorization/bootstrap-policy.ts";
import { ClusterRoleAggregation } from "./authorization/cluster-role-aggregation.ts";
import { NodeAuthorizer } from "./authorization/node-authorizer.ts";
import { NodeGraph, nodeGraphInformers } from "./authorization/node-graph.ts";
import { RbacAuthorizer } from "./authorization/rbac-authorizer.ts";
import { RbacIndex, rbacInformers } from "./authorization/rbac-index.ts";
import type { NonResourceHandler } from "./other/non-resource.ts";
import { openIdDocuments } from "./virtual-resources/openid-metadata.ts";
import { createVirtualResources } from "./virtual-resources/virtual-resources.ts";

/** A cluster's keys and names; PEM where they are keys. */
export type ClusterAccessOptions = {
  readonly clientCa: string;
  readonly frontProxyCa: string;
  readonly serviceAccountKey: string;
  /** "https://kubernetes.default.svc.cluster.local". */
  readonly issuer: string;
  /** Where clients reach the server: "host:port". */
  readonly publicAddress: string;
  readonly clock: Clock;
  readonly logger: Logger;
};

/** Makes the access parts once the server gives its client. */
export function createClusterAccess(options: ClusterAccessOptions): (loopback: Loopback) => Access {
  return ({ client, findObject }) => {
    const { clock, logger } = options;
    const informers = createInformerFactory({ client, clock, logger });
    const rbacIndex = new RbacIndex(rbacInformers(informers));
    const graph = new NodeGraph(nodeGraphInformers(informers));
    const rbac = new RbacAuthorizer(rbacIndex);
    const authorizer = createAuthorizer([new NodeAuthorizer(graph, clock), rbac]);
    const serviceAccountTokens = new ServiceAccountTokens({
      issuer: options.issuer,
      signingKey: options.serviceAccountKey,
      findObject,
      clock,
    });
    const tokens = anyToken([serviceAccountTokens, new BootstrapTokenAuthenticator(findObject, clock)]);
    const { clientCa, frontProxyCa } = options;
    const aggregation = new ClusterRoleAggregation({
      client,
      clusterRoles: rbacInformers(informers).clusterRoles,
      clock,
      logger,
    });
    const policies = informers.informer<ValidatingAdmissionPolicy>({ resource: policyResource });
    const policyStatus = new PolicyStatus({ client, policies, clock, logger });
    return {
      authenticator: createAuthenticator({ clientCa, frontProxyCa, tokens, allowsAnonymous: true, clock, log: logger }),
      authorizer,
      admission: createAdmissionPlugins({
        client,
        informers,
        authorizer,
        rbac,
        rbacIndex,
        clock,
        serviceAccountTokens,
        rootCa: clientCa,
      }),
      virtualResources: createVirtualResources({ serviceAccountTokens, tokens, authorizer, rbac, findObject, clock }),
      nonResourceHandlers: [openIdHandler(serviceAccountTokens, options.publicAddress)],
      service: accessService({
        client,
        informers,
        rbacIndex,
        graph,
        aggregation,
        policyStatus,
        clientCa,
        frontProxyCa,
      }),
    };
  };
}

function openIdHandler(tokens: ServiceAccountTokens, address: string): NonResourceHandler {
  const documents = openIdDocuments(tokens, address);
  return {
    handle({ info }) {
      const found = documents.get(info.path);
      if (found === undefined) return undefined;
      const { contentType, body, cacheControl } = found;
      return { type: "bytes", status: 200, contentType, body, headers: { "cache-control": cacheControl } };
    },
  };
}

type AccessParts = {
  readonly client: Loopback["client"];
  readonly informers: InformerFactory;
  readonly rbacIndex: RbacIndex;
  readonly graph: NodeGraph;
  readonly aggregation: ClusterRoleAggregation;
  readonly policyStatus: PolicyStatus;
  readonly clientCa: string;
  readonly frontProxyCa: string;
};

// The server is ready when everybody's rights are known.
function accessService(parts: AccessParts): Service {
  const { client, informers, rbacIndex, graph, aggregation, policyStatus } = parts;
  const unfollow: (() => void)[] = [];
  return {
    async start(signal) {
      unfollow.push(rbacIndex.follow(), graph.follow());
      // First the informers: admission of the roles below waits for them.
      await informers.start(signal);
      await Promise.all([ensureRbacPolicy(client), publishAuthenticationConfig(client, parts)]);
      await informers.waitForSync(signal);
      await aggregation.start(signal);
      await policyStatus.start(signal);
    },
    async stop() {
      await policyStatus.stop();
      await aggregation.stop();
      for (const stop of unfollow) stop();
      await informers.stop();
    },
  };
}
