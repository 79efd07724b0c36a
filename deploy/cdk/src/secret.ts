import { ISecret } from 'aws-cdk-lib/aws-secretsmanager';

/** A field of a secret whose value is a JSON object. */
export interface SecretField {
  /** The secret in Secrets Manager. */
  readonly secret: ISecret;
  /** The name of the field. */
  readonly field: string;
}

/**
 * Where a secret variable is: a secret, or a field of one. The function fetches it at start and every five minutes, so a rotated secret
 * needs no deployment. The template contains its ARN only.
 */
export type SecretSource = ISecret | SecretField;

/** Returns the secret itself. */
export function secretOf(source: SecretSource): ISecret {
  return 'secret' in source ? source.secret : source;
}

/** Returns the reference that the function resolves. */
export function reference(source: SecretSource): string {
  const name = `secretsmanager://${secretOf(source).secretArn}`;
  return 'secret' in source ? `${name}#${source.field}` : name;
}

/** Returns the ARN for a policy. The ARN of a secret that was looked up by its name lacks the six random letters at the end. */
export function policyArn(secret: ISecret): string {
  return secret.secretFullArn ?? `${secret.secretArn}-??????`;
}
