"""ShapePipe's pipeline files run as they are: the same modules, files and folders."""
