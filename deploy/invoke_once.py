"""Starts a program as Lambda does and hands it one event: deploy/invoke_once.py PROGRAM.. It must return the event."""
import http.server, json, os, subprocess, sys

EVENT = {"triggerSource": "PreAuthentication_Authentication", "userName": "ola", "request": {"validationData": {"ip": "8.8.8.8"}}}
answers = []


class RuntimeApi(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        for name, value in (("Lambda-Runtime-Aws-Request-Id", "1"), ("Lambda-Runtime-Deadline-Ms", "0"), ("Lambda-Runtime-Invoked-Function-Arn", "arn:aws:lambda:eu-west-1:000000000000:function:riskgate")):
            self.send_header(name, value)
        body = json.dumps(EVENT).encode()
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        answers.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(202)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


server = http.server.HTTPServer(("127.0.0.1", 0), RuntimeApi)
server.timeout = 30
environment = {"AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{server.server_port}", "AWS_LAMBDA_FUNCTION_NAME": "riskgate", "AWS_LAMBDA_FUNCTION_VERSION": "1", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "128"}
program = subprocess.Popen(sys.argv[1:], env=environment, stdout=subprocess.DEVNULL)
try:
    for _ in range(10):
        if answers or program.poll() is not None:
            break
        server.handle_request()
finally:
    program.kill()
    program.wait()
if answers != [EVENT]:
    sys.exit(f"  the event did not come back: {answers}")
print("  answers an event")
