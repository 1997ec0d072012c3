"""The runtime that executor scripts share.

An executor is a class with `load` and `run`; the runtime owns files, framing
and errors. A whole script is:

    from ncn_executor import Executor, Request, Response, main

    class Shout(Executor):
        def load(self, model_path, context):
            ...

        def run(self, request):
            return Response(request.data.upper(), "text/plain")

    if __name__ == "__main__":
        main(Shout)

Importing this package loads the standard library only and starts no thread,
so that a zygote can import it and fork.
"""

from ncn_executor.contract import Context, Executor, Request, Response
from ncn_executor.errors import ErrorCode, ExecutorError
from ncn_executor.file_contract import main, run_file_contract

__all__ = [
    "Context",
    "ErrorCode",
    "Executor",
    "ExecutorError",
    "Request",
    "Response",
    "main",
    "run_file_contract",
]
