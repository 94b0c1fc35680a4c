"""Routes that requests reach without the framework, which costs more than many a decision.

A lean route is declared like any other, and FastAPI describes it. The edge finds it by its path, checks the key, and
calls the very function of the route; nothing is matched, solved or wrapped on the way. What the edge does not find,
such as a path below the root of a proxy, takes the framework's way to the same function.
"""

from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from fastapi import APIRouter
from fastapi.routing import APIRoute
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope

from decisioning.errors import NextbestError
from features.ids import whole_id
from serving.http.access import Needs
from serving.http.problems import Problem, problem_of, problem_response


class LeanRoute(APIRoute):
    """A route with at most one id in its path, whose function takes that id and the request, and nothing else."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **described: Any) -> None:
        super().__init__(path, endpoint, **described)
        before, _, rest = path.partition("{")
        _, has_id, after = rest.partition("}")
        self.before, self.after = before, after if has_id else None
        self._function: Callable[..., Awaitable[Response]] = endpoint
        self._needs = [one.dependency for one in self.dependencies if isinstance(one.dependency, Needs)]
        assert len(self._needs) == len(self.dependencies), "a lean route depends on scopes alone"  # noqa: S101

    def id_in(self, path: str) -> str | None:
        """The id that a path names; None where the path is not this route's."""
        if self.after is None or not path.startswith(self.before) or not path.endswith(self.after):
            return None
        found = path[len(self.before) : len(path) - len(self.after)]
        return found if found and "/" not in found else None

    async def answer(self, request: Request, path_id: str | None) -> Response:
        """The answer of the route's function, or the problem that it met."""
        try:
            for needs in self._needs:
                await needs(request)
            if path_id is None:
                return await self._function(request=request)
            return await self._function(whole_id(path_id), request=request)
        except Problem as problem:
            return problem_response(problem, request)
        except NextbestError as error:
            return problem_response(problem_of(error), request)


class LeanRoutes:
    """The lean routes of an app, by what a request asks for."""

    def __init__(self, routers: Iterable[APIRouter]) -> None:
        routes = [route for router in routers for route in router.routes if isinstance(route, LeanRoute)]
        pairs = [(method, route) for route in routes for method in sorted(route.methods or ())]
        self._exact = {(method, route.before): route for method, route in pairs if route.after is None}
        self._with_id = [(method, route) for method, route in pairs if route.after is not None]

    def find(self, scope: Scope) -> tuple[LeanRoute, str | None] | None:
        """The route of a request, and the id in its path; None where the framework has to look."""
        if scope.get("root_path"):
            return None
        method, path = scope["method"], scope["path"]
        if route := self._exact.get((method, path)):
            return route, None
        for its, route in self._with_id:
            if its == method and (path_id := route.id_in(path)):
                return route, path_id
        return None


class QuickHeaders(Headers):
    """Headers of a request, sorted once; of those given twice the first counts, as ever."""

    def __init__(self, scope: Scope) -> None:
        super().__init__(scope=scope)
        self._by_name = {name.decode("latin-1"): value.decode("latin-1") for name, value in reversed(scope["headers"])}

    def __getitem__(self, key: str) -> str:
        """Value of a header.

        Raises:
            KeyError: It is not given.
        """
        return self._by_name[key.lower()]


class LeanRequest(Request):
    """A request whose headers are sorted once, and whose body is read without a stream around it."""

    def __init__(self, scope: Scope, receive: Receive, headers: QuickHeaders) -> None:
        super().__init__(scope, receive)
        self._headers = headers
        self._whole: bytes | None = None

    @property
    def headers(self) -> Headers:
        """The headers."""
        return self._headers

    async def body(self) -> bytes:
        """The whole body.

        Raises:
            ClientDisconnect: The caller went away before it had sent all of it.
        """
        if self._whole is None:
            chunks: list[bytes] = []
            is_more = True
            while is_more:
                message = await self.receive()
                if message["type"] == "http.disconnect":
                    raise ClientDisconnect
                chunks.append(message.get("body", b""))
                is_more = message.get("more_body", False)
            self._whole = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        return self._whole
