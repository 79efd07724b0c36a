// The client code of docs/COGNITO.md, used as its readers would.
import assert from "node:assert/strict";
import { CognitoIdentityProviderClient, InitiateAuthCommand } from "@aws-sdk/client-cognito-identity-provider";
import { configure, guardedSignIn } from "./app.mjs";

const { BACKEND, AWS_ENDPOINT_URL_COGNITO_IDENTITY_PROVIDER: endpoint, POOL_ID, PUBLIC_CLIENT } = process.env;
const password = "Correct-horse-1";
const denied = /^PreAuthentication failed with error Sign-in was declined for security reasons\. Contact support and quote [0-9A-Z]{26}\.$/;

// The AWS SDK for JavaScript.
const cognito = new CognitoIdentityProviderClient({ maxAttempts: 1 });
const command = (ClientMetadata) => new InitiateAuthCommand({ AuthFlow: "USER_PASSWORD_AUTH", ClientId: PUBLIC_CLIENT, AuthParameters: { USERNAME: "ola@example.com", PASSWORD: password }, ClientMetadata });
assert.ok((await cognito.send(command({ deviceId: "d-1" }))).AuthenticationResult.IdToken);
await assert.rejects(cognito.send(command({ ip: "81.2.69.142" })), (error) => error.name === "UserLambdaValidationException" && denied.test(error.message));

// The backend, behind one proxy: the right-most address is the one that the proxy saw.
// A browser of the address's own time zone: at night, what only looks odd by day would be denied.
const browser = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";
async function throughBackend(forwarded, body) {
  const answer = await fetch(`${BACKEND}/sign-in`, { method: "POST", headers: { "x-forwarded-for": forwarded, "user-agent": browser }, body: JSON.stringify({ username: "ola@example.com", password, ...body }) });
  return { status: answer.status, body: await answer.json() };
}
const letIn = await throughBackend("81.2.69.142, 2.26.53.1", { deviceId: "d-1", timezone: "Europe/Berlin" });
assert.equal(letIn.status, 200, JSON.stringify(letIn));
const refused = await throughBackend("2.26.53.1, 81.2.69.142");
assert.equal(refused.status, 403, JSON.stringify(refused));
assert.match(refused.body.message, denied);
assert.equal((await throughBackend("2.26.53.1", { password: "wrong" })).status >= 400, true);

// Amplify.
configure({ userPoolId: POOL_ID, userPoolClientId: PUBLIC_CLIENT, userPoolEndpoint: endpoint });
const attempt = (signedContext) => guardedSignIn({ username: "ola@example.com", password, deviceId: "d-1", authFlowType: "USER_PASSWORD_AUTH", signedContext });
const stopped = await attempt(process.env.BAD_CONTEXT);
assert.equal(stopped.denied, true, JSON.stringify(stopped));
assert.match(stopped.message, denied);
const signedIn = await attempt(process.env.GOOD_CONTEXT);
assert.equal(signedIn.isSignedIn, true, JSON.stringify(signedIn));
