// Gives cognito-local the trigger that it lacks. Preload it: node -r ./preauth-shim.cjs cognito-local/lib/bin/start.js
//
// As Amazon Cognito does it: once for each InitiateAuth or AdminInitiateAuth with a password, before the password is
// looked at, with the call's ClientMetadata as validationData, and with userNotFound for a name that does not exist.
// It also makes the other triggers' events look like the service's: a real version, a group configuration.
const { LambdaService } = require("cognito-local/lib/services/lambda");
const { Targets } = require("cognito-local/lib/targets/targets");
const { attributesToRecord } = require("cognito-local/lib/services/userPoolService");

const SOURCE = "PreAuthentication_Authentication";
const PASSWORD_FLOWS = new Set(["USER_PASSWORD_AUTH", "ADMIN_USER_PASSWORD_AUTH", "ADMIN_NO_SRP_AUTH"]);

const createLambdaEvent = LambdaService.prototype.createLambdaEvent;
LambdaService.prototype.createLambdaEvent = function (event) {
  if (event.triggerSource !== SOURCE) {
    const made = createLambdaEvent.call(this, event);
    if (event.triggerSource.startsWith("TokenGeneration_")) {
      made.request.groupConfiguration = { groupsToOverride: event.groups ?? [], iamRolesToOverride: [], preferredRole: null };
      made.response = { claimsOverrideDetails: null };
    }
    return { ...made, version: "1" };
  }
  const { userPoolId, clientId, username, userAttributes, validationData, userNotFound } = event;
  return {
    version: "1",
    region: "local",
    userPoolId,
    userName: username,
    callerContext: { awsSdkVersion: "aws-sdk-unknown-unknown", clientId },
    triggerSource: SOURCE,
    request: { userAttributes, validationData: validationData ?? null, ...(userNotFound && { userNotFound }) },
    response: {},
  };
};

for (const name of ["InitiateAuth", "AdminInitiateAuth"]) {
  const original = Targets[name];
  Targets[name] = (services) => async (ctx, request) => {
    const username = request.AuthParameters?.USERNAME;
    if (services.config.TriggerFunctions.PreAuthentication && PASSWORD_FLOWS.has(request.AuthFlow) && username) {
      const pool = await services.cognito.getUserPoolForClientId(ctx, request.ClientId);
      const user = await pool.getUserByUsername(ctx, username);
      await services.triggers.lambda.invoke(ctx, "PreAuthentication", {
        triggerSource: SOURCE,
        userPoolId: pool.options.Id,
        clientId: request.ClientId,
        username: user?.Username ?? username,
        userAttributes: user ? { ...attributesToRecord(user.Attributes), "cognito:user_status": user.UserStatus } : {},
        validationData: request.ClientMetadata,
        userNotFound: !user,
      });
    }
    return original(services)(ctx, request);
  };
}
