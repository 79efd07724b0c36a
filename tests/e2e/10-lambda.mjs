// Invokes the function with the AWS SDK for JavaScript as a trigger's caller would.
import assert from "node:assert/strict";
import { LambdaClient, InvokeCommand } from "@aws-sdk/client-lambda";

const client = new LambdaClient({ maxAttempts: 1 });

async function invoke(event) {
  const answer = await client.send(new InvokeCommand({ FunctionName: "riskgate", Payload: JSON.stringify(event) }));
  return { error: answer.FunctionError, body: JSON.parse(Buffer.from(answer.Payload).toString()) };
}

function event(validationData) {
  return {
    version: "1", triggerSource: "PreAuthentication_Authentication", region: "us-east-1", userPoolId: "us-east-1_e2e", userName: "kari",
    callerContext: { awsSdkVersion: "aws-sdk-unknown-unknown", clientId: "web-client" },
    request: { userAttributes: { sub: "sub-kari" }, validationData }, response: {},
  };
}

const allowed = await invoke(event(null));
assert.deepEqual(allowed, { error: undefined, body: event(null) });

const denied = await invoke(event({ ip: "81.2.69.142", userAgent: "Mozilla/5.0" }));
assert.equal(denied.error, "Unhandled");
assert.equal(denied.body.errorType, "SignInDenied");
assert.match(denied.body.errorMessage, /^Sign-in was declined for security reasons\. Contact support and quote [0-9A-Z]{26}$/);
