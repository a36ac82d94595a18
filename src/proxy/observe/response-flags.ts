/**
 * Why a request ended other than by its upstream's answer, in Envoy's short words, which dashboards know.
 * `-` nothing special; NR no route; UH no endpoint; UO too many wait; UF no connection; UC the connection broke; UPE no HTTP; UT timeout; DC the client went; DPE the client broke the protocol;
 * HR a hold refused it (ours).
 */
export type ResponseFlag = "-" | "NR" | "UH" | "UO" | "UF" | "UC" | "UPE" | "UT" | "DC" | "DPE" | "HR";
