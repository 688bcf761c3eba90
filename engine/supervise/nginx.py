"""The shipped ``nginx.conf``, adapted to this machine, and the command that runs it.

The containers use the file as it is. On a machine without containers, the port, the directory and the number of API
processes come from the settings. So these are replaced, and where the machine has IPv6 nginx listens
there too. `up` hears all that nginx says, and with a console or ENGINE_ACCESS_LOG_PERCENT of its refusals and requests.
All else stays the same. Containers that are watched (docker-compose.ops.yml) have the same of refusals and requests:
``ops/nginx/watched.conf``, which ``python -m engine.supervise.nginx`` writes.
"""

from __future__ import annotations

import grp
import os
import pwd
import re
import shutil
from pathlib import Path

from engine.supervise.nginx_log import FILE

SHIPPED_PORT = 9999
SHIPPED_RUN_DIR = "/run/engine"
STATUS_HOST = "nginx-status.engine.invalid"  # the console asks under this name (engine/console/nginx_status.py)
_STATUS_BLOCK = f"""
    # For the console alone: how many connections there are, for who asks from this machine under this name.
    server {{
        listen %d;
        server_name {STATUS_HOST};
        allow 127.0.0.1;
        deny all;
        location = / {{
            stub_status;
        }}
    }}
}}
"""

_ACCESS_OFF = re.compile(r"^    access_log off;\n", re.MULTILINE)
_ACCESS_BLOCK = """
    # For who counts and writes them (engine/supervise/nginx_log.py): what nginx has refused by itself, and requests
    # that are chosen at random. 502 and 504 stand for an API process that nginx could not ask. Of those that it slows
    # down it tells one in 16: whoever sends thousands in a second keeps nobody busy but nginx.
    split_clients $request_id $sampled {{
        {share}
        * "{others}";
    }}
    split_clients "$request_id slowed" $slowed_told {{
        6.25% 1;
        * "";
    }}
    map "$status:$slowed_told:$upstream_status" $own {{
        "~^5[0-9][0-9]:1?:(.*[ ,])?(502|504)?$" 1;
        "429:1:" 1;
        default "";
    }}
    map "$own$sampled" $is_logged {{
        "" 0;
        default 1;
    }}
    map $request_uri $logged_path {{
        "~^(?<bare>[^?]{{0,200}})" $bare;
        default "";
    }}
    map $upstream_http_request_id $logged_request {{
        "" $named_request;
        default $upstream_http_request_id;
    }}
    log_format engine escape=json '{{"at":"$msec","seconds":"$request_time","status":$status,"own":"$own",'
        '"sampled":"$sampled","method":"$request_method","path":"$logged_path","request":"$logged_request"}}';
    access_log {path} engine if=$is_logged;
"""
# In containers the file is opened for each line, as its name has a variable: so who reads it may take it away at any
# moment, and need not signal to a process of another container. nginx then looks whether `root` exists.
WATCHED_FILE = "/run/nginx-log/requests.log"
WATCHED_PERCENT = "PERCENT%"  # ops/nginx/start.sh has the number
_WATCHED_END = """
    map "" $each_time {
        default "";
    }
    root /run/nginx-log;

    # For the console alone, over the directory that both have.
    server {
        listen unix:/run/engine/nginx-status.sock;
        access_log off;
        location = / {
            stub_status;
        }
    }
"""
_LIMITED = "        limit_conn_log_level info;\n"
_RATE_ZONE = """
    # 160 bytes for each client of the last moments.
    limit_req_zone $client zone=rate:10m rate={rate}r/s;

    # HTTP and not bytes"""
_RATE = """        # ENGINE_CLIENT_RATE: as many may come at once as in a second.
        limit_req zone=rate burst={burst} nodelay;
        limit_req_status 429;
        limit_req_log_level info;
        add_header RateLimit-Policy '"client";q={rate};w=1' always;
"""
_INCLUDE = re.compile(r"^( +# TLS, .*\n +include )/etc/nginx/engine\.d(/\*\.conf;\n)", re.MULTILINE)
_ERROR_LOG = re.compile(r"^error_log stderr alert;$", re.MULTILINE)
_LISTEN = re.compile(rf"^([ \t]*listen ){SHIPPED_PORT}\b([^;\n]*;\n)", re.MULTILINE)
_SERVER_LINE = rf"^[ \t]*server unix:{SHIPPED_RUN_DIR}/api-[0-9]+\.sock[^;\n]*;\n"
_SERVER_LINES = re.compile(rf"(?:{_SERVER_LINE})+", re.MULTILINE)


class ConfError(Exception):
    """nginx cannot be run: it is not installed, or its configuration cannot be made to fit. Holds a sentence."""


def find_conf() -> Path:
    """The shipped nginx.conf, which lies at the top of the checkout. Raises ConfError."""
    path = Path(__file__).resolve().parents[2] / "nginx.conf"
    if not path.is_file():
        raise ConfError(f"{path} is missing; `up` is run from a checkout of the project")
    return path


def render(
    conf: str,
    *,
    port: int,
    run_dir: str,
    api_processes: int,
    ipv6: bool,
    status: bool = False,
    percent: int = 0,
    rate: int = 0,
    include: str = "",
) -> str:
    """The text of the shipped ``nginx.conf``, changed for one machine.

    Parameters:
      conf: the text of the shipped file.
      port: TCP port to listen on.
      run_dir: absolute directory of the Unix sockets and of nginx's own files.
      api_processes: how many API processes there are, behind ``run_dir``/api-INDEX.sock.
      ipv6: whether to listen on IPv6 besides IPv4. Where there is none, nginx would not start.
      status: whether to tell the console how many connections there are, and `up` what nginx has refused.
      percent: how many requests `up` is told of.
      rate: how many requests of one client are let through in a second; 0: all.
      include: the directory whose ``*.conf`` belong into the server; "": none.

    Raises ConfError if ``conf`` lacks one of the places that are replaced, or has it twice, and if ``run_dir`` cannot
    be written in a configuration file.
    """
    for directory in (run_dir, include or run_dir):
        if not re.fullmatch(r"/[A-Za-z0-9._/-]+", directory):
            raise ConfError(f"directory {directory!r} must be absolute and hold letters, digits and . _ - / only")
    _expect_once(conf, _LISTEN, f"listen {SHIPPED_PORT}")
    _expect_once(conf, _ERROR_LOG, "error_log stderr alert")
    _expect_once(conf, _SERVER_LINES, f"server unix:{SHIPPED_RUN_DIR}/api-0.sock")
    _expect_once(conf, _INCLUDE, "include /etc/nginx/engine.d/*.conf")
    conf = _INCLUDE.sub(rf"\g<1>{include}\g<2>" if include else "", conf)
    conf = _ERROR_LOG.sub("error_log stderr warn;", conf)  # `up` limits it
    conf = _LISTEN.sub(rf"\g<1>{port}\g<2>" + (rf"\g<1>[::]:{port}\g<2>" if ipv6 else ""), conf)
    conf = _SERVER_LINES.sub(lambda match: _server_lines(match.group(), api_processes), conf)
    if status or percent:
        _expect_once(conf, _ACCESS_OFF, "access_log off")
        conf = _ACCESS_OFF.sub(lambda _: _access(percent, f"{SHIPPED_RUN_DIR}/{FILE}"), conf)
    if rate:
        conf = conf.replace("\n    # HTTP and not bytes", _RATE_ZONE.format(rate=rate), 1)
        conf = conf.replace(_LIMITED, _LIMITED + _RATE.format(rate=rate, burst=rate), 1)
    if status:  # before the brace that ends `http`
        conf = conf.rstrip().removesuffix("}").rstrip() + "\n" + _STATUS_BLOCK % port
    return conf.replace(f"{SHIPPED_RUN_DIR}/", f"{run_dir.rstrip('/')}/")


def watched() -> str:
    """What stands in the place of ``access_log off`` in containers that are watched."""
    path = WATCHED_FILE.replace("/requests", "/requests$each_time")
    return _ACCESS_BLOCK.format(share=f"{WATCHED_PERCENT} 1;", others="", path=path) + _WATCHED_END


def _access(percent: int, path: str) -> str:
    share = "" if percent in (0, 100) else f"{percent}% 1;"
    return _ACCESS_BLOCK.format(share=share, others="1" if percent == 100 else "", path=path)


def command(conf_path: str, run_dir: str) -> list[str]:
    """The command line that runs nginx in the foreground with the rendered file. Raises ConfError.

    SIGTERM and SIGINT stop it at once. SIGQUIT stops it when the open requests are answered.
    """
    # /usr/sbin is not on the PATH of an ordinary user of Debian.
    program = shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
    if program is None:
        raise ConfError("nginx is not installed; `make setup` installs it")
    return [program, "-e", "stderr", "-p", run_dir, "-c", conf_path, "-g", f"daemon off;{_user_directive()}"]


def _user_directive() -> str:
    """The workers' user if root starts nginx: the default, "nobody", could not reach the API processes' sockets."""
    if os.geteuid() != 0:
        return ""
    return f" user {pwd.getpwuid(0).pw_name} {grp.getgrgid(os.getegid()).gr_name};"


def _expect_once(conf: str, pattern: re.Pattern[str], what: str) -> None:
    found = len(pattern.findall(conf))
    if found != 1:
        raise ConfError(f"nginx.conf must have `{what}` in one place and has it in {found}")


def _server_lines(shipped: str, api_processes: int) -> str:
    """As many copies of the first of the shipped lines as there are API processes."""
    first = shipped.splitlines(keepends=True)[0]
    return "".join(first.replace("/api-0.sock", f"/api-{index}.sock") for index in range(api_processes))


if __name__ == "__main__":
    (find_conf().parent / "ops" / "nginx" / "watched.conf").write_text(watched())
