/** The members of IAM's answers that are shown. */

import { call, every, hereUrl, read } from "./call";

export interface Role {
  RoleName: string;
  Arn: string;
  Path: string;
  Description?: string;
  CreateDate: number;
  MaxSessionDuration?: number;
  /** Encoded as in an address. */
  AssumeRolePolicyDocument: string;
  Tags?: { Key: string; Value: string }[];
}

export const roles = (region: string) => every<Role>("iam", "ListRoles", region, {}, "Roles", "Marker");

export const role = async (region: string, RoleName: string) => (await call<{ Role: Role }>("iam", "GetRole", region, { RoleName })).Role;

/** Documents of IAM come encoded as in an address. */
export function document(text: string): string {
  try {
    return JSON.stringify(JSON.parse(decodeURIComponent(text)), null, 2);
  } catch {
    return text;
  }
}

export interface RolePolicy {
  name: string;
  /** Of one that is attached; one that is inside of the role has none. */
  arn?: string;
  /** Portside knows AWS's own policies by name only. */
  text?: string;
}

export async function policiesOf(region: string, RoleName: string): Promise<RolePolicy[]> {
  const [attached, inline] = await Promise.all([
    call<{ AttachedPolicies: { PolicyName: string; PolicyArn: string }[] }>("iam", "ListAttachedRolePolicies", region, { RoleName }),
    call<{ PolicyNames: string[] }>("iam", "ListRolePolicies", region, { RoleName }),
  ]);
  const texts = (PolicyName: string) => call<{ PolicyDocument: string }>("iam", "GetRolePolicy", region, { RoleName, PolicyName });
  return Promise.all([
    ...attached.AttachedPolicies.map(async (each): Promise<RolePolicy> => {
      const named = { name: each.PolicyName, arn: each.PolicyArn };
      if (each.PolicyArn.startsWith("arn:aws:iam::aws:")) return named;
      const { Policy } = await call<{ Policy: { DefaultVersionId: string } }>("iam", "GetPolicy", region, { PolicyArn: each.PolicyArn });
      const { PolicyVersion } = await call<{ PolicyVersion: { Document: string } }>("iam", "GetPolicyVersion", region, {
        PolicyArn: each.PolicyArn,
        VersionId: Policy.DefaultVersionId,
      });
      return { ...named, text: document(PolicyVersion.Document) };
    }),
    ...inline.PolicyNames.map(async (name): Promise<RolePolicy> => ({ name, text: document((await texts(name)).PolicyDocument) })),
  ]);
}

export interface RoleUse {
  definitions: { name: string; as: string[] }[];
  tasks: { cluster: string; id: string; as: string[] }[];
  services: { cluster: string; name: string; as: string[] }[];
  profiles: { name: string; as: string[] }[];
}

export const roleUse = (region: string, arn: string) => read<RoleUse>(hereUrl("role-use", region, { arn }));
