/** Secrets and parameters: what they are called and of what kind. Their values are read one by one, when somebody wants to see one. */

import { call, every } from "./call";

export interface Secret {
  ARN: string;
  Name: string;
  Description?: string;
  CreatedDate?: number;
  LastChangedDate?: number;
  LastAccessedDate?: number;
  DeletedDate?: number;
  VersionIdsToStages?: Record<string, string[]>;
}

export interface Parameter {
  Name: string;
  Type: string;
  Version: number;
  Description?: string;
  LastModifiedDate?: number;
}

export const secrets = (region: string, withDeleted = false) =>
  every<Secret>("secretsmanager", "ListSecrets", region, { IncludePlannedDeletion: withDeleted || undefined }, "SecretList", "NextToken");

export const secret = (region: string, name: string) => call<Secret>("secretsmanager", "DescribeSecret", region, { SecretId: name });

export const secretValue = async (region: string, name: string) => {
  const found = await call<{ SecretString?: string; SecretBinary?: string }>("secretsmanager", "GetSecretValue", region, {
    SecretId: name,
  });
  return found.SecretString ?? found.SecretBinary ?? "";
};

export const parameters = (region: string) =>
  every<Parameter>("ssm", "DescribeParameters", region, { MaxResults: 50 }, "Parameters", "NextToken");

export const parameterValue = async (region: string, name: string) =>
  (await call<{ Parameter: { Value: string } }>("ssm", "GetParameter", region, { Name: name, WithDecryption: true })).Parameter.Value;

export const parameterHistory = (region: string, name: string) =>
  every<Parameter & { LastModifiedUser?: string; Value?: string }>(
    "ssm",
    "GetParameterHistory",
    region,
    { Name: name, WithDecryption: false },
    "Parameters",
    "NextToken",
  );
