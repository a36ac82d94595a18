/**
 * The places where a node takes everybody's requests. Any number of route sources write routes for them.
 *
 * Whose a host is when several sources say something about it: rules of one host are put together, and the more specific path comes first, whoever wrote it; of rules that match equally that of the
 * older object counts. What somebody wrote down (hosts of an Ingress, of a Knative Route or DomainMapping) comes before what follows from a name (NAME.NAMESPACE.localhost of an Ingress), and
 * default backends come last.
 */
/** Names of the listeners: cleartext HTTP and TLS. */
export const sharedListeners = { http: "http", https: "https" } as const;

/** One of them. */
export type SharedListener = keyof typeof sharedListeners;
