/** Certificates of Certificate Manager: those that the instance issued, and those that were imported. */

import { call } from "./call";

export interface CertificateDetail {
  CertificateArn: string;
  DomainName: string;
  SubjectAlternativeNames?: string[];
  Status: string;
  Type: string;
  KeyAlgorithm?: string;
  NotBefore?: number;
  NotAfter?: number;
  Issuer?: string;
  InUseBy?: string[];
}

export const certificate = async (region: string, CertificateArn: string) =>
  (await call<{ Certificate: CertificateDetail }>("acm", "DescribeCertificate", region, { CertificateArn })).Certificate;

/** Text, as blobs are sent. */
export function blob(text: string): string {
  return btoa(String.fromCharCode(...new TextEncoder().encode(text)));
}

/** Whether it is a block of PEM of that kind, as far as a glance tells. */
export const isPem = (text: string, kind: "CERTIFICATE" | "PRIVATE KEY") =>
  new RegExp(`-----BEGIN [A-Z ]*${kind}-----[\\s\\S]+-----END [A-Z ]*${kind}-----`).test(text);

/** Names typed one a line or between commas. */
export const namesOf = (text: string) => text.split(/[\s,]+/).filter(Boolean);
